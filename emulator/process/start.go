package process

// wait reaps the process. Its pipes are read to their ends by others.
func (p *Process) wait() {
	state, err := p.cmd.Process.Wait()
	if err == nil {
		p.cmd.ProcessState = state
	}
	close(p.exited)
}
