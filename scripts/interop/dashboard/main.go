// Reads a dashboard with Grafana's own types, and fails at a field that they do not have, at a missing one
// and at a value of another type.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	// The types of the panels and of the queries of Prometheus.
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile(os.Args[1])
	var board dashboard.Dashboard
	if err == nil {
		err = board.UnmarshalJSONStrict(text)
	}
	// Its lists of errors are never nil.
	if err == nil || err.Error() == "" {
		err = board.Validate()
	}
	if err != nil && err.Error() != "" {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(len(board.Panels), "panels")
}
