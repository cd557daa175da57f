package cli

import (
	"strings"

	"github.com/alecthomas/kong"
)

// An environment is what the process was started with. A variable that is set
// to nothing counts as unset.
type environment map[string]string

func newEnvironment(pairs []string) environment {
	env := make(environment, len(pairs))
	for _, pair := range pairs {
		if key, value, ok := strings.Cut(pair, "="); ok {
			env[key] = value
		}
	}
	return env
}

func (e environment) get(key string) string { return e[key] }

// variables lists the environment variables of a flag, the first that is set
// counts: MBUS_X, what its tag "also" names, Micro's MICRO_X, and the spelling
// in which Micro once documented its two TLS files.
func variables(flag *kong.Flag) []string {
	if flag.Tag.Has("noenv") {
		return nil
	}
	name := strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
	names := []string{"MBUS_" + name}
	names = append(names, flag.Tag.GetAll("also")...)
	names = append(names, "MICRO_"+name)
	if prefix, ok := strings.CutSuffix(name, "_FILE"); ok && strings.HasPrefix(name, "TLS_") {
		names = append(names, "MICRO_"+prefix+"_File")
	}
	return names
}

// origins holds, by flag, the environment variable that a value comes from.
type origins map[string]string

// of names the variable that set a flag, for the end of a message, or is "".
func (o origins) of(flag string) string {
	if o[flag] == "" {
		return ""
	}
	return " (from " + o[flag] + ")"
}

// fromEnvironment gives kong the values of flags that are not on the command
// line, and notes in from which variable each flag was set.
func fromEnvironment(env environment, from origins) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range variables(flag) {
			value := env.get(name)
			if value == "" {
				continue
			}
			from[flag.Name] = name
			if !flag.IsSlice() {
				return value, nil
			}
			var list []any
			for item := range strings.SplitSeq(value, ",") {
				list = append(list, item)
			}
			return list, nil
		}
		return nil, nil
	})
}
