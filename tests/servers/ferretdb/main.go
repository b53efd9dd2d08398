// SPDX-License-Identifier: Apache-2.0

// FerretDB, a server that speaks MongoDB's protocol, over SQLite files:
//
//	ferretdb ADDRESS FOLDER [CERTIFICATE KEY]
//
// listens on ADDRESS, keeps its data in FOLDER, and speaks TLS where a certificate and its key are named. It knows no
// accounts. It ends at SIGTERM.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	address, folder := os.Args[1], os.Args[2]
	listener := ferretdb.ListenerConfig{TCP: address}
	if len(os.Args) > 3 {
		listener = ferretdb.ListenerConfig{TLS: address, TLSCertFile: os.Args[3], TLSKeyFile: os.Args[4]}
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  listener,
		Handler:   "sqlite",
		SQLiteURL: "file:" + folder + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
