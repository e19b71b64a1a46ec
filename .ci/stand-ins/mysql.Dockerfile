# Stands in for the official mysql image where no registry answers: the real server from
# Debian, with the variables and folders of the official image that the stack uses.
FROM stand-in/debian:sid
# The server is the newest LTS, which is in no Debian release yet; a mirror of sid may lag behind
# its own expiry date.
RUN apt-get update -o Acquire::Check-Valid-Until=false \
    && printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mysql-server mysql-client \
    && rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d /var/lib/mysql /etc/mysql/mysql.conf.d/* \
    && install -d -o mysql -g mysql -m 1777 /var/lib/mysql /var/run/mysqld \
    && case "$(mysqld --version)" in *'Ver 9.7.'*) ;; *) mysqld --version; exit 1 ;; esac
COPY mysql-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/mysql
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mysqld"]
