# The node in an image of its own: nothing but the binary.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/mbus . \
 && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/greeter ./examples/greeter/server \
 && mkdir -p /out/data && chmod 0700 /out/data

FROM scratch
COPY --from=build /out/mbus /out/greeter /
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
EXPOSE 4222
ENTRYPOINT ["/mbus"]
CMD ["node", "--store-dir", "/data"]
