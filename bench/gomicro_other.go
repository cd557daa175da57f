//go:build !gomicro

package main

// goMicroCaller is go-micro, whose client and service are another program: this
// one, built with the tag gomicro.
func goMicroCaller() contender {
	const name = "go-micro"
	return contender{
		name: name, title: "go-micro over NATS", broker: true, streams: "a stream of it is a connection of its own",
		program: func(role, broker, address string) ([]string, error) {
			program, err := sibling(withGoMicro)
			if err != nil {
				return nil, err
			}
			return []string{program, role, name, broker, address}, nil
		},
	}
}
