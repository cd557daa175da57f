package web

import "sync"

// gather does n pieces of work, a few of them at a time, and waits for all.
func gather(n int, do func(i int)) {
	var work sync.WaitGroup
	slots := make(chan struct{}, maxAskedNodes)
	for i := range n {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	work.Wait()
}
