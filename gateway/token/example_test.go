package token_test

import (
	"fmt"

	"github.com/mbus-dev/mbus/gateway/token"
)

func ExampleParseRules() {
	rules, err := token.ParseRules([]byte(`{"rules": [
		{"services": ["go.micro.srv.greeter"], "methods": ["Say.*"], "public": true},
		{"services": ["go.micro.srv.*"], "scopes": ["services"]}
	]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	john := &token.Caller{Subject: "john", Scopes: []string{"profile"}}
	fmt.Println(rules.MayCall(nil, "go.micro.srv.greeter", "Say.Hello"))
	fmt.Println(rules.MayCall(nil, "go.micro.srv.shop", "Cart.Get"))
	fmt.Println(rules.MayCall(john, "go.micro.srv.shop", "Cart.Get"))
	// Output:
	// <nil>
	// unauthenticated: this needs a token: Authorization: Bearer TOKEN
	// permission_denied: the token lacks the scope "services" for go.micro.srv.shop.Cart.Get
}
