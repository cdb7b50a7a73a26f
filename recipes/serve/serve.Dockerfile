# The server with one exported model, and without torch and the project.
FROM python:3.13-slim

RUN pip install --no-cache-dir 'litserve>=0.2.19,<0.3' 'onnxruntime>=1.23,<2'
WORKDIR /app
COPY serve.py ./
ARG EXPORT=runs/first/export
COPY ${EXPORT} export

RUN useradd --uid 1000 server
USER 1000
EXPOSE 8000
HEALTHCHECK --start-period=30s --start-interval=1s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=5)"]
ENTRYPOINT ["python", "serve.py", "export", "--host", "0.0.0.0"]
