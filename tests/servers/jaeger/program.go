// SPDX-License-Identifier: Apache-2.0

//go:build names

// Names the program that is built, so that `go mod tidy` keeps what it needs.
package jaeger

import _ "github.com/jaegertracing/jaeger/cmd/all-in-one"
