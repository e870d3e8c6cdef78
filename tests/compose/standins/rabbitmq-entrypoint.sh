#!/bin/sh
# What the official image does with its variables, as far as the compose file asks for it.
set -eu
chown -R rabbitmq:rabbitmq /var/lib/rabbitmq
printf 'loopback_users = none\ndefault_user = %s\ndefault_pass = %s\nlog.console = true\n' \
    "$RABBITMQ_DEFAULT_USER" "$RABBITMQ_DEFAULT_PASS" >/etc/rabbitmq/rabbitmq.conf
exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups env HOME=/var/lib/rabbitmq RUNNING_UNDER_SYSTEMD=true \
    /usr/lib/rabbitmq/bin/rabbitmq-server
