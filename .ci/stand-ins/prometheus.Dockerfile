# Stands in for prom/prometheus and for the exporters of the profile `monitoring` where no registry
# answers: Debian's own, in one image, with the paths, the user and the wget of the official ones.
FROM stand-in/debian:bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends busybox prometheus prometheus-blackbox-exporter \
        prometheus-mysqld-exporter prometheus-node-exporter \
    && rm -rf /var/lib/apt/lists/* /etc/prometheus \
    && for name in blackbox mysqld node; do ln -s "prometheus-$name-exporter" "/usr/bin/${name}_exporter"; done \
    && ln -s busybox /usr/bin/wget \
    && install -d -o nobody -g nogroup /prometheus /etc/prometheus
USER 65534
WORKDIR /prometheus
