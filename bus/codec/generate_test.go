package codec_test

//go:generate go run github.com/tinylib/msgp -file=generate_test.go -o=generated_test.go -io=false -tests=false

// Point is a type with generated methods that name the fields as the json tags do.
type Point struct {
	X     int     `json:"x" msg:"x"`
	Y     float64 `json:"y" msg:"y"`
	Label string  `json:"label,omitempty" msg:"label,omitempty"`
}

// Path keeps nil slices and maps nil.
type Path struct {
	Name   string            `json:"name" msg:"name"`
	Points []Point           `json:"points" msg:"points,allownil"`
	Tags   map[string]string `json:"tags" msg:"tags,allownil"`
	Next   *Path             `json:"next" msg:"next"`
	Data   []byte            `json:"data" msg:"data,allownil"`
	Count  uint32            `json:"count" msg:"count"`
}

// Renamed has other names in the generated methods than in JSON.
type Renamed struct {
	Name string `json:"name"`
}

// Emptied turns a nil slice into an empty one.
type Emptied struct {
	List []string `json:"list" msg:"list"`
}

// Loose holds anything, for which the generated methods have types of their own.
type Loose struct {
	Any any `json:"any" msg:"any"`
}
