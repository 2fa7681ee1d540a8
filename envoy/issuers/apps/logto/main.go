// What is left of an application behind logto.yaml: the filter has verified what it reads.
package main

import (
	"cmp"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
)

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func main() {
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]any{"ok": true})
	})
	http.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(strings.Fields(r.Header.Get("x-jwt-scope")), "read:orders") {
			answer(w, http.StatusForbidden, map[string]any{"error": "insufficient_scope"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"user": r.Header.Get("x-jwt-sub")})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}
