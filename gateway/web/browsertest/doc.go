// Package browsertest holds the tests that look at the dashboard as people do: in
// a headless Chromium, against the mbus command and the services of its own
// processes.
//
//	go test ./gateway/web/browsertest
//	go test ./gateway/web/browsertest -run Picture -artifacts -outputdir out
//
// The second keeps a picture of every page, in both themes and all widths, below
// the directory out. Without Chromium every test is skipped; under MBUS_CI that
// is a failure.
package browsertest
