FROM mailroom-standin/debian
RUN apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/postgresql/*
COPY postgres-entrypoint.sh /usr/local/bin/entrypoint
ENTRYPOINT ["sh", "/usr/local/bin/entrypoint"]
STOPSIGNAL SIGINT
VOLUME /var/lib/postgresql/data
