package codec

import (
	"math/bits"
	"reflect"
)

// slotSize is what one entry of a Go map takes. Large keys and values are held behind pointers.
func slotSize(key, value reflect.Type) int64 {
	size := int64(0)
	for _, t := range []reflect.Type{key, value} {
		if s := int64(t.Size()); s > 128 {
			size += 8 + s
		} else {
			size += s
		}
	}
	return (size + 7) &^ 7
}

// mapSize is what a map made for n entries takes.
func mapSize(n int, slot int64) int64 {
	const header = 64
	switch {
	case n == 0:
		return header
	case n <= 8:
		return header + 8*(slot+1)
	}
	slots := int64(1) << bits.Len(uint(n)*8/7) // a power of two at most 7/8 full
	return header + slots*(slot+1) + 64*(1+slots/1024)
}

// A cost is the most memory that one value of a JSON text can take when it is decoded into a type or
// a part of it. Slices and maps grow on the way, so the room they outgrew counts as well.
type cost struct {
	item  int64 // more for a value in an array
	entry int64 // more for a value in an object
	value int64 // for any value
}

const (
	anyEntry = 5 * (32 + 1)         // of a map[string]any
	anyItem  = 2 * 16               // of a []any
	anyMap   = 64 + 8*(32+1)        // a map[string]any with an entry
	anyText  = 16 + 8               // a string in an interface, without its bytes
	anyValue = anyText + 8 + anyMap // the most of these
	mapGrown = 5                    // times its size is what a slot of a growing map costs
)

// ownCost is the cost of n without that of its parts.
func (n *node) ownCost() cost {
	switch n.shape {
	case shapeAny:
		return cost{item: anyItem, entry: anyEntry, value: anyValue}
	case shapeBytes:
		return cost{item: 2}
	case shapeSlice:
		return cost{item: 2 * int64(n.elem.typ.Size())}
	case shapeMap:
		slot := slotSize(n.typ.Key(), n.elem.typ)
		return cost{entry: mapGrown * (slot + 1), value: mapSize(1, slot)}
	case shapePointer:
		size, to := int64(0), n
		for ; to.shape == shapePointer; to = to.elem {
			size += int64(to.elem.typ.Size()) + 8
		}
		return cost{value: size + to.ownCost().value}
	case shapeStruct:
		return cost{value: n.fields.hidden}
	}
	return cost{}
}

func (c cost) max(o cost) cost {
	return cost{max(c.item, o.item), max(c.entry, o.entry), max(c.value, o.value)}
}

// most is an upper bound of the memory that a JSON text of the given size and census takes.
func (c cost) most(size int, seen census) int64 {
	return int64(seen.items)*c.item + int64(seen.entries)*(c.entry+8) + int64(seen.values)*(c.value+8) + 4*int64(size)
}

// frame is one open array or object of a JSON text, against the type it is decoded into.
type frame struct {
	slot   *node      // what the next value goes into; nil if it goes nowhere
	fields *structure // of a struct
	cost   cost       // of its values
}

// measureJSON follows a JSON text, which has passed the guard, through the types it is decoded into,
// and refuses it if that takes more than memory.
func (n *node) measureJSON(text []byte, memory int64) *fault {
	var (
		s    jsonScan
		open [MaxDepth + 1]frame
	)
	_ = s.begin(text, true)
	open[0].slot = n
	for {
		t, f := s.next()
		if f != nil || t.kind == tokEnd {
			return f
		}
		switch t.kind {
		case tokClose:
		case tokKey:
			in := &open[s.depth]
			memory -= in.cost.entry
			if in.fields == nil {
				memory -= int64(t.end-t.start) + 8
			} else if i := in.fields.find(unquote(text[t.start:t.end]), 0); i >= 0 {
				in.slot = in.fields.list[i].node
			} else {
				in.slot = nil
			}
		case tokObject, tokArray:
			in := &open[s.depth-1]
			slot, size := in.slot.follow()
			memory -= in.cost.item + size
			open[s.depth], size = slot.open(t.kind)
			memory -= size
		default:
			in := &open[s.depth]
			slot, size := in.slot, int64(0)
			if t.kind != tokNull {
				slot, size = in.slot.follow()
			}
			memory -= in.cost.item + size + slot.literal(t)
		}
		if memory < 0 {
			return overMemory(t.start)
		}
	}
}

// follow goes through pointers to what a value is decoded into, and gives what they take.
func (n *node) follow() (*node, int64) {
	size := int64(0)
	for n != nil && n.shape == shapePointer {
		n = n.elem
		size += int64(n.typ.Size()) + 8
	}
	return n, size
}

// open is the frame of an array or object that goes into n, and what it takes while empty.
func (n *node) open(kind byte) (frame, int64) {
	switch {
	case n == nil:
	case n.shape == shapeAny && kind == tokObject:
		return frame{slot: n, cost: cost{entry: anyEntry}}, anyMap
	case n.shape == shapeAny:
		return frame{slot: n, cost: cost{item: anyItem}}, 24
	case n.shape == shapeSlice && kind == tokArray:
		return frame{slot: n.elem, cost: cost{item: n.ownCost().item}}, 8
	case n.shape == shapeBytes && kind == tokArray:
		return frame{cost: cost{item: 2}}, 8
	case n.shape == shapeArray && kind == tokArray:
		return frame{slot: n.elem}, 0
	case n.shape == shapeMap && kind == tokObject:
		own := n.ownCost()
		return frame{slot: n.elem, cost: cost{entry: own.entry}}, own.value
	case n.shape == shapeStruct && kind == tokObject:
		return frame{fields: n.fields}, n.fields.hidden
	}
	return frame{}, 0
}

// literal is what a string or number that goes into n takes besides n itself.
func (n *node) literal(t token) int64 {
	size := int64(t.end - t.start)
	switch {
	case n == nil:
		return 0
	case n.shape == shapeAny && t.kind == tokString:
		return anyText + size
	case n.shape == shapeAny && t.kind == tokNumber:
		return anyText + size + 8
	case t.kind == tokString:
		return size + 8
	}
	return 0
}
