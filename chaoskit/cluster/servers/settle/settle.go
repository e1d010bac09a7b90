// Package settle lets a server start with a lazy garbage collector and go on with a frugal one while it has little to
// do: collecting while a heap grows to its size costs a third of a start's time, and collecting often a third of what a
// busy server uses. What a start or a busy time leaves behind is not needed after it.
//
// SETTLE_AFTER is the time to wait, SETTLE_GOGC the percentage from then on, SETTLE_BUSY the share of a processor from
// which on the server is busy; GOGC itself is that of the start, and of busy times.
package settle

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// How long the use of the processor is looked at, and for how many of these times in a row a server must have been
	// busy, or calm: a burst is over before a lazy collector has saved anything, and between two runs is no rest.
	window  = 5 * time.Second
	busyFor = 2
	calmFor = 6
	// A server that is busy is so until it uses this part of what made it so: a lazy collector uses less, too.
	calm = 0.6
)

func init() {
	after, badTime := time.ParseDuration(os.Getenv("SETTLE_AFTER"))
	percent, badNumber := strconv.Atoi(os.Getenv("SETTLE_GOGC"))
	busy, badShare := strconv.ParseFloat(os.Getenv("SETTLE_BUSY"), 64)
	if badTime != nil || badNumber != nil || badShare != nil {
		return // Not asked for.
	}
	time.AfterFunc(after, func() {
		lazy := debug.SetGCPercent(percent)
		debug.FreeOSMemory()
		unmapCode()
		follow(lazy, percent, busy)
	})
}

// follow changes between the two percentages, for as long as the server runs.
func follow(lazy, frugal int, busy float64) {
	working, inARow := false, 0
	for began, used := time.Now(), processor(); ; {
		time.Sleep(window)
		now, usedNow := time.Now(), processor()
		share := float64(usedNow-used) / float64(now.Sub(began))
		began, used = now, usedNow
		inARow++
		if working && share >= calm*busy || !working && share <= busy {
			inARow = 0 // It goes on as it is.
		}
		switch {
		case !working && inARow == busyFor:
			working, inARow = true, 0
			debug.SetGCPercent(lazy)
		case working && inARow == calmFor:
			working, inARow = false, 0
			debug.SetGCPercent(frugal)
			debug.FreeOSMemory()
			unmapCode()
		}
	}
}

// processor is the time that this process has used of it.
func processor() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// unmapCode gives back the pages of the program's own file: most were needed by the start only. The kernel maps those
// that are needed again, from its cache. Only what can never be written is given back, so nothing can be lost.
func unmapCode() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var start, end uintptr
		var rights string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &start, &end, &rights); err != nil {
			continue
		}
		if strings.HasSuffix(lines.Text(), " "+program) && !strings.Contains(rights, "w") {
			syscall.Syscall(syscall.SYS_MADVISE, start, end-start, syscall.MADV_DONTNEED)
		}
	}
}
