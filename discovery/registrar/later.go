package registrar

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

const (
	// maxLater bounds the checks that wait for their time. One more is left out
	// and counted; what it would have found shows by missing beats.
	maxLater = 65_536
	// maxAtOnce bounds the checks that run at the same time: each may wait for
	// an instance.
	maxAtOnce = 64
)

// later does things at their time, many at once.
type later struct {
	wake chan struct{}

	mu      sync.Mutex
	tasks   tasks
	leftOut uint64
}

type task struct {
	at time.Time
	do func(context.Context)
}

func (l *later) init() { l.wake = make(chan struct{}, 1) }

// add has f done at the given time. It never blocks.
func (l *later) add(at time.Time, f func(context.Context)) {
	l.mu.Lock()
	if len(l.tasks) >= maxLater {
		l.leftOut++
		l.mu.Unlock()
		return
	}
	heap.Push(&l.tasks, task{at, f})
	first := l.tasks[0].at.Equal(at)
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func (l *later) lost() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leftOut
}

// run does what is due until ctx ends, and waits for what it has begun.
func (l *later) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxAtOnce)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		do, pause := l.next(time.Now())
		if do != nil {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			running.Go(func() {
				defer func() { <-slots }()
				do(ctx)
			})
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-l.wake:
		case <-ctx.Done():
			return
		}
	}
}

// next takes out a task that is due, or tells how long none is.
func (l *later) next(now time.Time) (do func(context.Context), pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tasks) == 0 {
		return nil, time.Hour
	}
	if pause := l.tasks[0].at.Sub(now); pause > 0 {
		return nil, pause
	}
	return heap.Pop(&l.tasks).(task).do, 0
}

// tasks is a heap, the earliest first.
type tasks []task

func (t tasks) Len() int           { return len(t) }
func (t tasks) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t tasks) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *tasks) Push(x any)        { *t = append(*t, x.(task)) }

func (t *tasks) Pop() any {
	last := (*t)[len(*t)-1]
	(*t)[len(*t)-1] = task{}
	*t = (*t)[:len(*t)-1]
	return last
}
