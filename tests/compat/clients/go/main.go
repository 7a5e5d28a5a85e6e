// franz-go: produces with idempotence, consumes by partition. Streams: see clients/python/stream.py.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type job struct {
	Op         string `json:"op"`
	Topic      string `json:"topic"`
	Codec      string `json:"codec"`
	Input      string `json:"input"`
	Output     string `json:"output"`
	Partitions int    `json:"partitions"`
	TimeoutS   int    `json:"timeout_s"`
	Isolation  string `json:"isolation"` // read_committed, or nothing
}

type plan struct {
	Bootstrap string `json:"bootstrap"`
	Jobs      []job  `json:"jobs"`
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "member" {
		if err := member(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	text, err := os.ReadFile(os.Args[1])
	var todo plan
	if err == nil {
		err = json.Unmarshal(text, &todo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	operations := map[string]func(context.Context, string, job) (int64, error){"produce": produce, "consume": consume}
	failed := 0
	for _, j := range todo.Jobs {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(j.TimeoutS)*time.Second)
		records, err := operations[j.Op](ctx, todo.Bootstrap, j)
		cancel()
		result := map[string]any{"op": j.Op, "topic": j.Topic, "records": records, "seconds": time.Since(began).Seconds()}
		if err != nil {
			result["error"] = err.Error()
			failed = 1
		}
		line, _ := json.Marshal(result)
		fmt.Println(string(line))
	}
	os.Exit(failed)
}

func produce(ctx context.Context, bootstrap string, j job) (int64, error) {
	// No RecordDeliveryTimeout: it counts from a record's own timestamp, and ours are old. ctx bounds the job.
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ProducerBatchCompression(codecs[j.Codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	file, err := os.Open(j.Input)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<20)
	var once sync.Once
	var failure error
	var sent int64
	for {
		record, err := readRecord(in)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return sent, err
		}
		record.Topic = j.Topic
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failure = err })
			}
		})
		sent++
	}
	if err := client.Flush(ctx); err != nil {
		return sent, err
	}
	return sent, failure
}

func consume(ctx context.Context, bootstrap string, j job) (int64, error) {
	starts := map[int32]kgo.Offset{}
	outputs := make([]*bufio.Writer, j.Partitions)
	for p := range j.Partitions {
		starts[int32(p)] = kgo.NewOffset().At(0)
		file, err := os.Create(filepath.Join(j.Output, strconv.Itoa(p)))
		if err != nil {
			return 0, err
		}
		defer file.Close()
		outputs[p] = bufio.NewWriterSize(file, 1<<20)
	}
	options := []kgo.Opt{kgo.SeedBrokers(bootstrap),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{j.Topic: starts})}
	if j.Isolation == "read_committed" {
		// A partition may end with a marker.
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	left, err := endOffsets(ctx, client, j)
	for err != nil { // the broker may be down just now
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(100 * time.Millisecond):
			left, err = endOffsets(ctx, client, j)
		}
	}
	var received int64
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return received, fmt.Errorf("not at the end after %d s", j.TimeoutS)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				writeRecord(outputs[r.Partition], r)
				received++
			}
			if end, open := left[r.Partition]; open && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	for _, output := range outputs {
		if err := output.Flush(); err != nil {
			return received, err
		}
	}
	return received, nil
}

// endOffsets asks ListOffsets itself: kadm is a module of its own. Partitions without records are left out.
func endOffsets(ctx context.Context, client *kgo.Client, j job) (map[int32]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	if j.Isolation == "read_committed" {
		request.IsolationLevel = 1
	}
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = j.Topic
	for p := range j.Partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition = int32(p)
		partition.Timestamp = -1
		topic.Partitions = append(topic.Partitions, partition)
	}
	request.Topics = append(request.Topics, topic)
	ends := map[int32]int64{}
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return nil, fmt.Errorf("ListOffsets of partition %d: error %d", p.Partition, p.ErrorCode)
				}
				if p.Offset > 0 {
					ends[p.Partition] = p.Offset
				}
			}
		}
	}
	return ends, nil
}

func readRecord(in *bufio.Reader) (*kgo.Record, error) {
	partition, err := readInt32(in)
	if err != nil {
		return nil, err
	}
	var fixed [8]byte
	if _, err := io.ReadFull(in, fixed[:]); err != nil {
		return nil, err
	}
	record := &kgo.Record{
		Partition: partition,
		Timestamp: time.UnixMilli(int64(binary.BigEndian.Uint64(fixed[:]))),
		Key:       readBytes(in),
		Value:     readBytes(in),
	}
	count, err := readInt32(in)
	for range count {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: string(readBytes(in)), Value: readBytes(in)})
	}
	return record, err
}

func readInt32(in *bufio.Reader) (int32, error) {
	var fixed [4]byte
	_, err := io.ReadFull(in, fixed[:])
	return int32(binary.BigEndian.Uint32(fixed[:])), err
}

func readBytes(in *bufio.Reader) []byte {
	length, err := readInt32(in)
	if err != nil || length < 0 {
		return nil
	}
	content := make([]byte, length)
	if _, err := io.ReadFull(in, content); err != nil {
		panic("the input ends within a record")
	}
	return content
}

func writeRecord(out *bufio.Writer, r *kgo.Record) {
	frame := binary.BigEndian.AppendUint64(nil, uint64(r.Offset))
	frame = binary.BigEndian.AppendUint64(frame, uint64(r.Timestamp.UnixMilli()))
	frame = appendBytes(appendBytes(frame, r.Key), r.Value)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(r.Headers)))
	for _, header := range r.Headers {
		frame = appendBytes(appendBytes(frame, []byte(header.Key)), header.Value)
	}
	_, _ = out.Write(frame) // a failed write is remembered and reported by Flush
}

func appendBytes(frame, content []byte) []byte {
	if content == nil {
		return binary.BigEndian.AppendUint32(frame, 0xffffffff)
	}
	return append(binary.BigEndian.AppendUint32(frame, uint32(len(content))), content...)
}
