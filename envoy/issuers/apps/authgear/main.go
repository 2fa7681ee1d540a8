// What is left of an application behind authgear.yaml: the filter has verified what it reads.
package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"log"
	"net/http"
	"os"
)

type claims struct {
	Sub *string `json:"sub"`
}

func claimsOf(r *http.Request) (c claims, err error) {
	payload, err := base64.RawURLEncoding.DecodeString(r.Header.Get("x-jwt-payload"))
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	return c, err
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func main() {
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"ok": true})
	})
	http.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) {
		c, err := claimsOf(r)
		if err != nil {
			http.Error(w, "no payload", http.StatusInternalServerError)
			return
		}
		answer(w, map[string]any{"user": c.Sub, "verified": r.Header.Get("x-user-verified") == "true"})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}
