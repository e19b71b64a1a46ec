# Stands in for the official caddy image where no registry answers: Debian's Caddy, with the folders,
# the variables and the wget that the official one has.
FROM stand-in/debian:bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends caddy wget \
    && rm -rf /var/lib/apt/lists/* \
    && install -d /config/caddy /data/caddy /etc/caddy
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
