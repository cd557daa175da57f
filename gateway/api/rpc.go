package api

import (
	"net/http"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// serveRPC calls a method with the body of the request.
func (a *API) serveRPC(w http.ResponseWriter, r *http.Request, t target) {
	body, err := gateway.ReadBody(w, r, gateway.MaxForm)
	if err == nil {
		err = codec.Guard(codec.JSON, body)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	ctx, cancel, err := gateway.WithTimeout(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer cancel()
	res, err := a.bus.Client.Do(ctx, &rpc.Request{
		Service: t.service, Method: t.method, Codec: codec.JSON, Body: body, Meta: gateway.Metadata(r),
	})
	if err == nil {
		err = gateway.WriteJSON(w, res)
	}
	if err != nil {
		a.fail(w, r, err)
	}
}
