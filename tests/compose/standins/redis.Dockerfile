FROM mailroom-standin/debian
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && mkdir -p /data
WORKDIR /data
