# Stands in for the official python image where no registry answers: Debian's own Python,
# under the names the official one has (python, pip), and with the headers that it has.
FROM stand-in/debian:bookworm
COPY certs/ca-certificates.crt /etc/ssl/certs/
COPY wheels /opt/wheels
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 python3-dev python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED \
    && ln -s python3 /usr/bin/python \
    && printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\nfind-links = /opt/wheels\n' > /etc/pip.conf
# Installing ca-certificates wrote the bundle anew; builds must trust what the host trusts.
COPY certs/ca-certificates.crt /etc/ssl/certs/
CMD ["python3"]
