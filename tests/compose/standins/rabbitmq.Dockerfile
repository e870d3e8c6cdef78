FROM mailroom-standin/debian
RUN apt-get update && apt-get install -y --no-install-recommends rabbitmq-server && rm -rf /var/lib/rabbitmq/* /var/lib/rabbitmq/.e*
COPY rabbitmq-entrypoint.sh /usr/local/bin/entrypoint
ENTRYPOINT ["sh", "/usr/local/bin/entrypoint"]
