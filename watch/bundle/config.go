package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/tailscale/hujson"
)

const configName = "wrangler.jsonc"

// compatibility is the date whose behaviour the shim was written for and tested
// with.
const compatibility = "2026-04-20"

// config is what we need to know of a wrangler.jsonc.
type config struct {
	DurableObjects struct {
		Bindings []struct {
			Name      string `json:"name"`
			ClassName string `json:"class_name"`
		} `json:"bindings"`
	} `json:"durable_objects"`
	Migrations []migration `json:"migrations"`
}

type migration struct {
	Tag              string   `json:"tag"`
	NewSQLiteClasses []string `json:"new_sqlite_classes,omitempty"`
	NewClasses       []string `json:"new_classes,omitempty"`
	DeletedClasses   []string `json:"deleted_classes,omitempty"`
	RenamedClasses   []struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"renamed_classes,omitempty"`
}

func bindingText(class string) string {
	return fmt.Sprintf(`{ "name": %[1]q, "class_name": %[1]q }`, class)
}

func migrationText(tag, class string) string {
	return fmt.Sprintf(`{ "tag": %q, "new_sqlite_classes": [%q] }`, tag, class)
}

// configure returns what the configuration must become, nil where it may stay
// as it is.
func configure(path string, o Options, done *Bundle) ([]byte, error) {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		done.Config = append(done.Config, "written")
		return newConfig(o)
	}
	if err != nil {
		return nil, err
	}
	return amend(path, old, o, done)
}

func newConfig(o Options) ([]byte, error) {
	type class struct{ Binding, Migration string }
	var classes []class
	for _, c := range slices.Sorted(slices.Values(o.Classes)) {
		classes = append(classes, class{bindingText(c), migrationText(c, c)})
	}
	var out bytes.Buffer
	err := configTemplate.Execute(&out, map[string]any{"Name": o.Name, "Date": compatibility, "Classes": classes})
	return out.Bytes(), err
}

// amend adds the classes that a configuration lacks, at the end: the platform
// has noted how many of the migrations it has done.
func amend(path string, old []byte, o Options, done *Bundle) ([]byte, error) {
	value, err := hujson.Parse(old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; mend it, or move it away to get a new one", path, err)
	}
	standard := value.Clone()
	standard.Standardize()
	var have config
	if err := json.Unmarshal(standard.Pack(), &have); err != nil {
		return nil, fmt.Errorf("%s: %w; mend it, or move it away to get a new one", path, err)
	}
	made, bound := have.classes()
	var patch []string
	if have.DurableObjects.Bindings == nil {
		if value.Find("/durable_objects") == nil {
			patch = append(patch, `{"op":"add","path":"/durable_objects","value":{}}`)
		}
		patch = append(patch, `{"op":"add","path":"/durable_objects/bindings","value":[]}`)
	}
	if have.Migrations == nil {
		patch = append(patch, `{"op":"add","path":"/migrations","value":[]}`)
	}
	if len(patch) == 0 {
		patch = nil
	}
	changes := 0
	for _, c := range slices.Sorted(slices.Values(o.Classes)) {
		if !bound[c] {
			patch = append(patch, `{"op":"add","path":"/durable_objects/bindings/-","value":`+bindingText(c)+`}`)
			changes++
		}
		if !made[c] {
			patch = append(patch, `{"op":"add","path":"/migrations/-","value":`+migrationText(have.freeTag(c), c)+`}`)
			changes++
			done.Config = append(done.Config, "class "+c+" added")
		}
	}
	for c := range bound {
		if !slices.Contains(o.Classes, c) {
			done.Config = append(done.Config, fmt.Sprintf("class %s is bound there, and the program has it no more: to delete its rooms take the binding out and add the migration { \"tag\": \"delete-%s\", \"deleted_classes\": [%q] }", c, c, c))
		}
	}
	slices.Sort(done.Config)
	if changes == 0 {
		done.Config = append(done.Config, "kept")
		return nil, nil
	}
	for _, p := range patch {
		if err := value.Patch([]byte("[" + p + "]")); err != nil {
			return nil, fmt.Errorf("%s: %w; mend it, or move it away to get a new one", path, err)
		}
	}
	value.Format()
	return value.Pack(), nil
}

// classes are those that the migrations make, and those that are bound under
// their own name.
func (c *config) classes() (made, bound map[string]bool) {
	made, bound = map[string]bool{}, map[string]bool{}
	for _, m := range c.Migrations {
		for _, class := range slices.Concat(m.NewSQLiteClasses, m.NewClasses) {
			made[class] = true
		}
		for _, class := range m.DeletedClasses {
			delete(made, class)
		}
		for _, r := range m.RenamedClasses {
			delete(made, r.From)
			made[r.To] = true
		}
	}
	for _, b := range c.DurableObjects.Bindings {
		if b.Name == b.ClassName {
			bound[b.Name] = true
		}
	}
	return made, bound
}

// freeTag is a tag that no migration has yet.
func (c *config) freeTag(class string) string {
	tag := class
	for i := 2; slices.ContainsFunc(c.Migrations, func(m migration) bool { return m.Tag == tag }); i++ {
		tag = fmt.Sprintf("%s-%d", class, i)
	}
	return tag
}
