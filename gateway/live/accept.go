package live

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// choose picks the first of the offers that the client likes best, by its Accept
// header. Without one it is the first offer.
func choose(r *http.Request, offers ...string) (string, error) {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return offers[0], nil
	}
	best, chosen := 0.0, ""
	for _, offer := range offers {
		if q := quality(accept, offer); q > best {
			best, chosen = q, offer
		}
	}
	if chosen == "" {
		return "", wrong(http.StatusNotAcceptable, "Accept %q has none of what there is: %s", accept, strings.Join(offers, ", "))
	}
	return chosen, nil
}

// quality is how much an Accept header likes a type, from 0 to 1. The most exact
// range decides.
func quality(accept, offer string) float64 {
	major, _, _ := strings.Cut(offer, "/")
	exact, q := 0, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		rank := 0
		switch kind {
		case offer:
			rank = 3
		case major + "/*":
			rank = 2
		case "*/*":
			rank = 1
		}
		if rank <= exact {
			continue
		}
		exact, q = rank, 1
		if text, ok := params["q"]; ok {
			weight, err := strconv.ParseFloat(text, 64)
			if err != nil || weight < 0 || weight > 1 {
				weight = 0
			}
			q = weight
		}
	}
	return q
}
