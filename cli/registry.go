package cli

type registryCommand struct {
	List       listCommand       `cmd:"" help:"Print the names of the services."`
	Get        getCommand        `cmd:"" help:"Print what a service is and where its instances are."`
	Register   registerCommand   `cmd:"" help:"Register a service that is not on the bus."`
	Deregister deregisterCommand `cmd:"" help:"Take a service out of the registry."`
	Watch      watchCommand      `cmd:"" help:"Print changes of the registry as they happen."`
}
