// franz-go as a member of a consumer group. What it is told and what it says: see clients/python/member.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe" // for linkname

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// nanotime is CLOCK_MONOTONIC, which package time keeps to itself.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

type membership struct {
	Bootstrap string `json:"bootstrap"`
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Protocol  string `json:"protocol"`
	Strategy  string `json:"strategy"`
	Instance  string `json:"instance"`
	Commit    string `json:"commit"`
	SessionMs int    `json:"session_ms"`
}

var balancers = map[string]func() kgo.GroupBalancer{
	"range": kgo.RangeBalancer, "roundrobin": kgo.RoundRobinBalancer, "sticky": kgo.StickyBalancer,
	"cooperative-sticky": kgo.CooperativeStickyBalancer, "uniform": kgo.StickyBalancer,
}

var telling sync.Mutex

func tell(event string, what map[string]any) {
	telling.Lock()
	defer telling.Unlock()
	told := map[string]any{"event": event, "at": nanotime()}
	for key, value := range what {
		told[key] = value
	}
	line, _ := json.Marshal(told)
	fmt.Println(string(line))
}

func complain(err error) {
	if err != nil {
		tell("error", map[string]any{"errors": []string{err.Error()}})
	}
}

// member subscribes until standard input ends.
func member(text string) error {
	var m membership
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	client, err := kgo.NewClient(m.options()...)
	if err != nil {
		return err
	}
	var paused atomic.Bool
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			paused.Store(strings.TrimSpace(input.Text()) == "pause")
		}
		leave()
	}()
	for ctx.Err() == nil {
		if paused.Load() {
			client.PauseFetchTopics(m.Topic)
		} else {
			client.ResumeFetchTopics(m.Topic)
		}
		polling, done := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := client.PollRecords(polling, 100)
		done()
		if seen := pairs(fetches); len(seen) > 0 {
			tell("records", map[string]any{"records": seen})
			m.commit(ctx, client)
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	tell("ended", nil)
	return nil
}

func (m *membership) options() []kgo.Opt {
	options := []kgo.Opt{
		kgo.SeedBrokers(m.Bootstrap), kgo.ConsumerGroup(m.Group), kgo.ConsumeTopics(m.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(balancers[m.Strategy]()),
		kgo.SessionTimeout(time.Duration(m.SessionMs) * time.Millisecond), kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, client *kgo.Client, given map[string][]int32) {
			_, epoch := client.GroupMetadata()
			tell("given", map[string]any{"partitions": m.numbers(given), "epoch": epoch})
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, taken map[string][]int32) {
			if m.Commit != "async" { // what the client does by itself when nobody asks to be told
				complain(client.CommitUncommittedOffsets(ctx))
			}
			tell("taken", map[string]any{"partitions": m.numbers(taken)})
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			tell("lost", map[string]any{"partitions": m.numbers(lost)})
		}),
	}
	if m.Protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer())
	}
	if m.Instance != "" {
		options = append(options, kgo.InstanceID(m.Instance))
	}
	if m.Commit == "auto" {
		return append(options, kgo.AutoCommitInterval(300*time.Millisecond))
	}
	return append(options, kgo.DisableAutoCommit())
}

func (m *membership) commit(ctx context.Context, client *kgo.Client) {
	switch m.Commit {
	case "sync":
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			complain(err)
		} else {
			tell("committed", nil)
		}
	case "async":
		client.CommitOffsets(ctx, client.UncommittedOffsets(),
			func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
				complain(err)
			})
	}
}

func (m *membership) numbers(partitions map[string][]int32) []int32 {
	return append([]int32{}, partitions[m.Topic]...)
}

func pairs(fetches kgo.Fetches) [][2]int64 {
	var seen [][2]int64
	fetches.EachRecord(func(r *kgo.Record) { seen = append(seen, [2]int64{int64(r.Partition), r.Offset}) })
	return seen
}
