package token

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
)

const (
	// refreshPause is between two looks at a JWKS that nobody has missed a key
	// of.
	refreshPause = 10 * time.Minute
	filePause    = 10 * time.Second
	// askPause bounds how often tokens with unknown keys, or an issuer that is
	// away, lead to another look.
	askPause = 10 * time.Second
	// fetchLimit is how long one look may take.
	fetchLimit = 3 * time.Second
	maxJWKS    = 1 << 20
)

var errNoKey = errors.New("no such key")

// keys are those of an issuer: what was found last, kept however long the
// issuer is away.
type keys struct {
	source string
	pause  time.Duration
	fetch  func(context.Context) ([]byte, error)
	client *http.Client
	log    zerolog.Logger

	mu     sync.Mutex
	set    []key
	looked time.Time     // when the last look began
	loaded chan struct{} // closed at the end of the look that is under way or next

	wanted chan struct{} // one token: somebody misses a key
	cancel context.CancelFunc
	loop   sync.WaitGroup
}

func newKeys(source string, log zerolog.Logger) *keys {
	return &keys{
		source: source, pause: refreshPause, log: log,
		loaded: make(chan struct{}), wanted: make(chan struct{}, 1),
		client: &http.Client{
			Timeout: fetchLimit,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return errors.New("a redirect, which is not followed; name the URL that it leads to")
			},
		},
	}
}

func (k *keys) start(ctx context.Context) error {
	if err := k.load(ctx); err != nil {
		if _, file := errors.AsType[*FileError](err); file {
			return err
		}
		k.log.Warn().Err(err).Msg("the keys of the token issuer cannot be had yet; tokens are refused until they can")
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k.cancel = cancel
	k.loop.Go(func() { k.run(running) })
	return nil
}

func (k *keys) stop() {
	if k.cancel != nil {
		k.cancel()
		k.loop.Wait()
		k.client.CloseIdleConnections()
	}
}

// run looks for new keys, now and then and when one is missed.
func (k *keys) run(ctx context.Context) {
	failed := k.empty()
	for {
		pause := k.pause
		if failed {
			pause = askPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-k.wanted:
			timer.Stop()
			if !k.due() {
				continue // somebody has asked just as the last look began
			}
		}
		err := k.load(ctx)
		failed = err != nil
		if failed && ctx.Err() == nil {
			k.log.Warn().Err(err).Msg("the keys of the token issuer cannot be had; those that are known stay")
		}
	}
}

// load looks once. Whoever waits is told, whatever came of it.
func (k *keys) load(ctx context.Context) error {
	k.mu.Lock()
	k.looked = time.Now()
	k.mu.Unlock()
	defer k.tell()
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	data, err := k.fetch(ctx)
	if err != nil {
		return err
	}
	set, err := parseJWKS(data)
	if err != nil {
		return k.wrap(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set = set
	return nil
}

func (k *keys) tell() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.loaded)
	k.loaded = make(chan struct{})
}

func (k *keys) empty() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.set) == 0
}

// due reports whether another look may follow the last one.
func (k *keys) due() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Since(k.looked) >= askPause
}

// find returns the key that a token names. A key that is not known may be new:
// then find waits for another look, if one is due.
func (k *keys) find(ctx context.Context, id, algorithm string) (crypto.PublicKey, error) {
	public, loaded, err := k.lookup(id, algorithm)
	if err == nil || !k.due() {
		return public, err
	}
	select {
	case k.wanted <- struct{}{}:
	default: // somebody has asked
	}
	select {
	case <-loaded:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	public, _, err = k.lookup(id, algorithm)
	return public, err
}

func (k *keys) lookup(id, algorithm string) (crypto.PublicKey, <-chan struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.set) == 0 {
		return nil, k.loaded, bus.Errorf(bus.Unavailable, "the keys of the token issuer cannot be had at the moment")
	}
	var found []key
	for _, key := range k.set {
		if (id == "" || key.id == id) && slices.Contains(key.algorithms, algorithm) {
			found = append(found, key)
		}
	}
	// Without a name there must be no choice.
	if len(found) != 1 {
		return nil, k.loaded, errNoKey
	}
	return found[0].public, nil, nil
}

func (k *keys) fetchURL(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.source, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", k.source, res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxJWKS+1))
	if err == nil && len(data) > maxJWKS {
		err = fmt.Errorf("%s has more than %d bytes", k.source, maxJWKS)
	}
	return data, err
}

// A FileError is that of a file of keys, which only its owner can mend. Start of a
// Verifier returns it.
type FileError struct{ cause error }

func (e *FileError) Error() string { return "--jwt-keys: " + e.cause.Error() }
func (e *FileError) Unwrap() error { return e.cause }

func (k *keys) wrap(err error) error {
	if k.pause == filePause {
		return &FileError{err}
	}
	return err
}

func (k *keys) readFile(context.Context) ([]byte, error) {
	f, err := os.Open(k.source)
	if err != nil {
		return nil, &FileError{err}
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxJWKS+1))
	if err == nil && len(data) > maxJWKS {
		err = fmt.Errorf("%s has more than %d bytes", k.source, maxJWKS)
	}
	if err != nil {
		return nil, &FileError{err}
	}
	return data, nil
}
