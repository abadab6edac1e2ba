# docker build --tag rnnexp .
# docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD":/work rnnexp hidden_size=10
FROM python:3.13-slim AS build
WORKDIR /source
RUN python -m venv /opt/rnnexp
ENV PATH=/opt/rnnexp/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# What rnnexp needs, in a layer of its own, which a change of the source leaves as it is.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        print(*project['dependencies'], *project['optional-dependencies']['digits'], \
        *project['optional-dependencies']['parallel'], sep='\n')" > needed.txt \
    && pip install --constraint constraints.txt --requirement needed.txt
COPY . .
# Nothing imports the tests of NumPy, SciPy, pandas and others: 118 MB.
RUN pip install --constraint constraints.txt '.[digits,parallel]' \
    && pip uninstall --yes pip \
    && find /opt/rnnexp -type d -name tests -prune -exec rm -r {} +

FROM python:3.13-slim
COPY --from=build /opt/rnnexp /opt/rnnexp
# /tmp is writable whoever runs it: with --user, a user without a name or a home folder.
ENV PATH=/opt/rnnexp/bin:$PATH HOME=/tmp
RUN useradd --uid 1000 --no-create-home --home-dir /tmp rnnexp
USER 1000
WORKDIR /work
ENTRYPOINT ["python", "-m", "rnnexp"]
