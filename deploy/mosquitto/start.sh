#!/bin/sh
# Puts the two logins, hashed, where the broker reads them, and becomes the broker.
set -eu
umask 077
printf 'collector:%s\ndevice:%s\n' "$MQTT_COLLECTOR_PASSWORD" "$MQTT_DEVICE_PASSWORD" > /run/mosquitto/passwords
mosquitto_passwd -U /run/mosquitto/passwords
unset MQTT_COLLECTOR_PASSWORD MQTT_DEVICE_PASSWORD
exec mosquitto -c /mosquitto/config/mosquitto.conf
