package greeter

// APIService is the name of the greeter's API.
const APIService = "go.micro.api.greeter"
