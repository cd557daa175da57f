//go:build unix

package browsertest

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "draw the pictures of docs/dashboard.md anew")

const (
	manual      = "../../../docs"
	mostPicture = 60 << 10
)

// TestThePicturesOfTheManual keeps docs/dashboard.md small. With -update it
// draws its pictures anew, which takes some minutes: a chart needs a past.
func TestThePicturesOfTheManual(t *testing.T) {
	pictures := []struct {
		name, path, theme, ready string
		past                     bool // the chart needs one
	}{
		{"services", "/services?sel=" + labName, "light", `document.querySelector('.inspect')?.innerText.includes('Lab.')`, true},
		{"crowd", "/services", "light", `document.querySelectorAll('[role=row][data-i]').length > 8`, true},
		{"service", "/services/" + labName, "dark", `document.body.innerText.includes('order 17')`, false},
		{"query", "/query/" + labName + "/Lab.Fail?req=" + failing, "light", `document.querySelector('[data-test=send]')`, false},
		{"topology", "/topology", "dark", `document.querySelectorAll('main svg .gn').length > 3`, false},
		{"events", "/events?subject=user.created", "light", `document.querySelectorAll('.erow').length > 8`, false},
	}
	for _, c := range pictures {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(manual, "dashboard-"+c.name+".png")
			if *update {
				url := settledWeb(t)
				if c.name == "crowd" {
					_, a := node(t)
					start(t, crowd, []string{"MBUS_URL=" + a.Bus}, "--services", "2000", "--seed", "1", "--rate", "300")
					url = a.Web
				}
				p := open(t, url+c.path)
				p.size(1120, 640, 1)
				p.theme(c.theme)
				p.until(isLive)
				p.until(c.ready)
				if c.past {
					time.Sleep(185 * time.Second) // what the chart shows
				}
				if c.name == "query" {
					p.click("[data-test=send]")
					p.until(`document.querySelector('[data-failure]')`)
					eval[bool](p, `(document.activeElement.blur(), true)`)
				}
				p.settle()
				if err := os.WriteFile(file, small(t, p.picture(c.name)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > mostPicture {
				t.Errorf("%s has %d bytes, over %d", file, info.Size(), mostPicture)
			}
		})
	}
}

// small is a picture with the 256 colours that it has most of, and for the rest
// those that come closest.
func small(t *testing.T, data []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	count := map[color.RGBA]int{}
	box := img.Bounds()
	at := func(x, y int) color.RGBA {
		c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
		return color.RGBA{c.R &^ 3, c.G &^ 3, c.B &^ 3, 255}
	}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	colours := make([]color.RGBA, 0, len(count))
	for c := range count {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	palette := color.Palette{}
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(box, palette)
	index := map[color.RGBA]uint8{}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			c := at(x, y)
			i, known := index[c]
			if !known {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	var buf bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&buf, out); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
