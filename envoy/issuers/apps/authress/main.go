// What is left of an application behind authress.yaml or authress-tenants.yaml: the filter has verified what
// it reads.
package main

import (
	"cmp"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
)

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// tokenOf returns the verified token, to ask Authress on the user's behalf: from the header or the cookie.
func tokenOf(r *http.Request) string {
	if header := r.Header.Get("authorization"); len(header) > 7 {
		return header[7:]
	}
	if cookie, err := r.Cookie("authorization"); err == nil {
		return cookie.Value
	}
	return ""
}

func main() {
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"ok": true})
	})
	http.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{
			"principalId": r.Header.Get("x-jwt-sub"),
			"scopes":      strings.Fields(r.Header.Get("x-jwt-scope")),
			"tenants":     strings.FieldsFunc(r.Header.Get("x-jwt-aud"), func(c rune) bool { return c == ',' }),
			"tokenLength": len(tokenOf(r)),
		})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}
