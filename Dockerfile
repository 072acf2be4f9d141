# docker build -t jewelenh --build-arg UID="$(id -u)" .                             without a GPU
# docker build -t jewelenh:cuda --build-arg UID="$(id -u)" --build-arg DEVICE=cuda .     for NVIDIA GPUs; the host has the driver
# docker run --rm --init --gpus all --ipc=host -v "$PWD:/home/jewelenh" jewelenh:cuda python -m jewelenh.train
# docker run --rm --init -p 127.0.0.1:7860:7860 -v "$PWD:/home/jewelenh" jewelenh python -m jewelenh.demo server.host=0.0.0.0
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

ARG DEVICE=cpu
ARG EXTRAS=tracking,kaggle,sweep,demo,export
ARG UID=1000

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /opt/jewelenh

# PyPI's torch brings its own CUDA; the same version "+cpu", which counts as newer, lies on PyTorch's own index.
COPY constraints.txt ./
RUN case "$DEVICE" in \
      cpu) pip install -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu torch torchvision ;; \
      cuda) pip install -c constraints.txt torch torchvision ;; \
      *) echo "DEVICE=$DEVICE: allowed is cpu or cuda" >&2; exit 1 ;; \
    esac

COPY pyproject.toml README.md LICENSE ./
COPY conf ./conf
COPY hydra_plugins ./hydra_plugins
COPY jewelenh ./jewelenh
RUN pip install -c constraints.txt ".[$EXTRAS]" \
 && useradd --create-home --uid "$UID" jewelenh

USER ${UID}
WORKDIR /home/jewelenh
EXPOSE 7860
CMD ["python", "-m", "jewelenh", "--help"]
