FROM mailroom-standin/debian
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv python3-pip ca-certificates \
    && ln -s python3 /usr/bin/python
# Whom this machine trusts.
COPY trusted.crt /etc/ssl/certs/ca-certificates.crt

