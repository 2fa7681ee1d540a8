// What is left of an application behind authaction.yaml: the filter has verified what it reads.
package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"log"
	"net/http"
	"os"
)

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func main() {
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"ok": true})
	})
	http.HandleFunc("GET /public", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"message": "open to all"})
	})
	http.HandleFunc("GET /protected", func(w http.ResponseWriter, r *http.Request) {
		payload, err := base64.RawURLEncoding.DecodeString(r.Header.Get("x-jwt-payload"))
		if err != nil {
			http.Error(w, "no payload", http.StatusInternalServerError)
			return
		}
		answer(w, map[string]any{"user": json.RawMessage(payload)})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}
