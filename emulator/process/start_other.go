//go:build !linux

package process

func (p *Process) start() error {
	group(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go p.wait()
	return nil
}
