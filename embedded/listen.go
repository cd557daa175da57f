package embedded

import (
	"strings"

	"github.com/mbus-dev/mbus/embedded/bind"
)

// checkSafe refuses listeners that other machines can reach without TLS and
// authentication. It returns those that the configuration allows all the same.
func (c Config) checkSafe(endpoints []bind.Address, users authFile) (exposed []string, err error) {
	for _, e := range endpoints {
		if e.Loopback() {
			continue
		}
		missing := c.missing(e, users)
		if len(missing) == 0 {
			continue
		}
		if !c.InsecureAllowRemote {
			unsafe := bind.Errorf("%s %s can be reached from other machines and lacks %s; add %s %s %s %s, or choose 127.0.0.1, or accept the risk with %s",
				e.Flag, e.Text, strings.Join(missing, " and "), flagTLSCert, flagTLSKey, flagTLSCA, flagAuth, flagInsecure)
			return nil, unsafe.Because(ErrUnsafe)
		}
		exposed = append(exposed, e.Flag+" "+e.Text)
	}
	return exposed, nil
}

func (c Config) missing(e bind.Address, users authFile) []string {
	var missing []string
	if c.TLSCertFile == "" {
		missing = append(missing, "TLS")
	}
	if c.AuthFile == "" {
		missing = append(missing, "authentication")
	} else if e.Flag == flagClusterListen && users.Cluster == nil {
		missing = append(missing, `a "cluster" entry in the auth file`)
	}
	return missing
}
