FROM mailroom-standin/debian
RUN apt-get update && apt-get install -y --no-install-recommends dovecot-pop3d dovecot-imapd
COPY dovecot.conf /etc/dovecot/dovecot.conf
RUN mkdir -p /mail && chown nobody:nogroup /mail
CMD ["dovecot", "-F"]
