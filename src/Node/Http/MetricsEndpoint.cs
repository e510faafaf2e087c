using KvStore.Node.Binary;
using KvStore.Node.Doors;
using KvStore.Node.Peers;
using KvStore.Replication;

namespace KvStore.Node.Http;

/// <summary>GET /metrics: everything is counted where it happens; here it is only written down.</summary>
internal sealed class MetricsEndpoint(FrontDoor door, BinaryDoor binary)
{
    public Task WriteAsync(HttpContext context)
    {
        PrometheusText text = new();
        text.Gauge("kvstore_up", "1 once the node has recovered.", door.Store is null ? 0 : 1);
        door.Meter.Write(text);
        text.Gauge("kvstore_rest_answer_bytes", "Memory set aside for values of answers that are made or sent.", door.Answers.HeldBytes);
        WriteBinary(text, binary.Counters);
        WritePeers(text, door.Peers());
        text.Gauge("kvstore_rest_unfinished_body_bytes", "Memory for bodies of REST requests that have not come whole.", door.Bodies.HeldBytes);
        WriteDoors(text, ("rest", door.Places.Counters), ("binary", binary.Places.Counters), ("peer", door.PeerPlaces.Counters));
        if (door.Store is { } store)
        {
            WriteStore(text, store.Counters());
            WriteRoom(text, store.Room());
            WriteDisk(text, store.Disk());
            WriteGroups(text, store.Groups(), store.Nodes.NumberOf(door.NodeName));
        }

        // Of the process, which may host several nodes.
        text.Counter("process_cpu_seconds_total", "User and system CPU time of the process.", Environment.CpuUsage.TotalTime.TotalSeconds);
        text.Gauge("process_resident_memory_bytes", "Resident memory of the process.", Environment.WorkingSet);
        text.Counter("process_allocated_bytes_total", "Managed bytes allocated by the process.", GC.GetTotalAllocatedBytes());
        text.Counter("process_gc_pause_seconds_total", "Time the process stood still for its garbage collector.", GC.GetTotalPauseDuration().TotalSeconds);
        context.Response.ContentType = PrometheusText.MediaType;
        context.Response.Headers.CacheControl = "no-store";
        return context.Response.WriteAsync(text.ToString(), context.RequestAborted);
    }

    private static void WriteBinary(PrometheusText text, BinaryCounters counters)
    {
        text.Gauge("kvstore_binary_connections", "Open binary connections.", counters.Open);
        text.Counter("kvstore_binary_connections_accepted_total", "Binary connections accepted.", counters.Accepted);
        text.Counter("kvstore_binary_hellos_missing_total", "Binary connections that ended without a hello.", counters.HellosMissing);
        text.Counter("kvstore_binary_hellos_refused_total", "Binary connections refused by name.", counters.HellosRefused);
        text.Counter("kvstore_binary_malformed_total", "Binary connections closed for foreign bytes.", counters.MalformedConnections);
        text.Counter("kvstore_binary_frames_timed_out_total", "Binary connections closed for a frame that did not end.", counters.FramesTimedOut);
        text.Gauge("kvstore_binary_streams", "Answers in parts that have not ended.", counters.Streams);
        text.Gauge("kvstore_binary_stream_bytes", "Bytes of such answers that no transport has taken.", counters.StreamBytes);
        text.Gauge(
            "kvstore_binary_unfinished_frame_bytes", "Memory set aside for large frames that have not come whole.",
            counters.UnfinishedFrameBytes);
    }

    private static void WritePeers(PrometheusText text, PeerCounters counters)
    {
        text.Counter("kvstore_peer_connects_total", "Connections to other nodes, made.", counters.Connects);
        text.Counter("kvstore_peer_losses_total", "Connections to other nodes, lost and not back at once.", counters.Losses);
        text.Counter("kvstore_peer_hellos_refused_total", "Hellos of other nodes, and answers to ours, refused by name.", counters.HellosRefused);
        text.Counter(
            "kvstore_peer_incarnations_refused_total", "Of those, the ones that said more starts than are believed.", counters.IncarnationsRefused);
        text.Counter("kvstore_peer_malformed_total", "Connections of the peer port closed for foreign bytes.", counters.MalformedConnections);
        text.Counter("kvstore_peer_lane_full_total", "Payloads for other nodes dropped at a full queue.", counters.DroppedLaneFull);
    }

    private static void WriteDoors(PrometheusText text, params (string Door, PlacesCounters Counters)[] doors)
    {
        Write("places", "gauge", "Connections that the port takes; of the peer port, those that have not proved to be a node's.", c => c.Limit);
        Write("connections", "gauge", "Connections of the port.", c => c.Open);
        Write("connections_accepted_total", "counter", "Connections accepted.", c => c.Accepted);
        Write("made_room_total", "counter", "Connections closed because a newcomer needed the place and nothing was owed to them.", c => c.MadeRoom);
        Write("idle_too_long_total", "counter", "Connections closed because nothing was asked on them.", c => c.IdleTooLong);
        Write("refused_total", "counter", "Connections that found no place and could be told so.", c => c.Refused);
        Write("dropped_total", "counter", "Connections that found no place and were closed without a word.", c => c.Dropped);

        void Write(string name, string type, string help, Func<PlacesCounters, double> value)
        {
            text.Family($"kvstore_door_{name}", type, help);
            foreach ((string door, PlacesCounters counters) in doors)
            {
                text.Sample($"kvstore_door_{name}", $"door=\"{door}\"", value(counters));
            }
        }
    }

    private static void WriteStore(PrometheusText text, NodeCounters counters)
    {
        text.Counter("kvstore_requests_total", "Requests given to a shard loop.", counters.Requests);
        text.Counter("kvstore_forwards_total", "Requests passed on to another node.", counters.Forwards);
        text.Counter("kvstore_reads_local_total", "Reads answered at once from this node's table.", counters.LocalReads);
        text.Counter("kvstore_reads_strong_total", "Strong reads answered.", counters.StrongReads);
        text.Counter("kvstore_read_rounds_total", "Rounds that proved strong reads; one may prove many.", counters.ReadRounds);
        text.Counter("kvstore_admission_rejected_total", "Requests answered Overloaded.", counters.Overloaded);
        text.Counter("kvstore_raft_proposals_total", "Entries proposed.", counters.Proposals);
        text.Counter("kvstore_raft_elections_total", "Elections started.", counters.Elections);
        text.Counter("kvstore_raft_entries_applied_total", "Entries applied.", counters.EntriesApplied);
        text.Counter("kvstore_raft_commands_applied_total", "Commands applied; an entry may hold many.", counters.CommandsApplied);
        text.Gauge("kvstore_raft_entries_held_back", "Log entries kept for a replica that lacks them.", counters.LogEntriesHeldBack);
        text.Counter("kvstore_peer_items_skipped_total", "Messages of peers that this build does not know or that say what cannot be.", counters.PeerItemsSkipped);
        text.Counter("kvstore_above_level_total", "Entries and snapshots refused because they need a later build.", counters.AboveLevel);
        text.Counter("kvstore_peer_payloads_dropped_total", "Payloads of peers dropped at a full inbox.", counters.PeerPayloadsDropped);
        text.Counter("kvstore_raft_terms_refused_total", "Messages of peers refused because their term was too far above the group's.", counters.TermsRefused);
        text.Counter("kvstore_growth_refused_total", "Writes refused because a member of their group is short of memory or disk, or has too much uncommitted.", counters.GrowthRefused);
        text.Gauge("kvstore_table_reserved_bytes", "Memory of the tables.", counters.TableBytesReserved);
        text.Gauge("kvstore_table_live_bytes", "Memory of the tables in use.", counters.TableBytesLive);
        text.Counter("kvstore_snapshots_taken_total", "Snapshots of this node's groups, written.", counters.Snapshots.Taken);
        text.Counter("kvstore_snapshots_installed_total", "Snapshots fetched from other nodes, installed.", counters.Snapshots.Installed);
        text.Counter("kvstore_snapshot_bytes_received_total", "Bytes of snapshots fetched.", counters.Snapshots.BytesReceived);
        text.Counter("kvstore_wal_syncs_total", "Syncs of the log.", counters.Wal.Syncs);
        text.Counter("kvstore_wal_batches_total", "Batches written to the log.", counters.Wal.Batches);
        text.Counter("kvstore_wal_entries_total", "Entries written to the log.", counters.Wal.Entries);
        text.Counter("kvstore_wal_bytes_total", "Bytes written to the log.", counters.Wal.Bytes);
        text.Gauge("kvstore_wal_segments", "Live segments of the log.", counters.Wal.LiveSegments);
        text.Gauge("kvstore_wal_live_bytes", "Size of the live segments of the log.", counters.Wal.LiveBytes);
        text.Counter(
            "kvstore_wal_rewritten_entries_total", "Entries written again to free their segment.", counters.Wal.RewrittenEntries);
        text.Counter("kvstore_wal_rewritten_bytes_total", "Bytes of entries written again.", counters.Wal.RewrittenBytes);
    }

    private static void WriteDisk(PrometheusText text, DiskStatus disk)
    {
        text.Gauge("kvstore_wal_oldest_write_ms", "Age of the oldest write that is not durable.", disk.AgeMs);
        text.Gauge("kvstore_disk_sick", "1 while this node leads only where nobody else can, because of its disk.", disk.IsSick ? 1 : 0);
    }

    private static void WriteRoom(PrometheusText text, RoomStatus room)
    {
        text.Gauge("kvstore_memory_limit_bytes", "Memory this node plans with.", room.MemoryLimitBytes);
        text.Gauge("kvstore_memory_short", "1 while writes that grow are refused for want of memory.", room.IsMemoryShort ? 1 : 0);
        text.Gauge("kvstore_disk_free_bytes", "Room on the disk, as last looked at.", room.DiskFreeBytes);
        text.Gauge("kvstore_disk_short", "1 while writes that grow are refused for want of disk.", room.IsDiskShort ? 1 : 0);
        text.Gauge("kvstore_disk_takes_no_entries", "1 while the log has no room for entries.", room.TakesNoEntries ? 1 : 0);
        text.Gauge("kvstore_memory_table_bytes", "Tables and their leaves.", room.Memory.Tables);
        text.Gauge("kvstore_memory_record_bytes", "Idempotency records and floors.", room.Memory.Records);
        text.Gauge("kvstore_memory_log_bytes", "Log entries kept in memory.", room.Memory.Log);
        text.Gauge("kvstore_memory_queued_bytes", "Requests, payloads of peers and log records that wait.", room.Memory.Queued);
    }

    // Local groups only: with hundreds of groups every node naming all of them would be most of what is scraped.
    private static void WriteGroups(PrometheusText text, IReadOnlyList<GroupStatus> groups, Protocol.NodeId self)
    {
        if (groups.Count > 0)
        {
            text.Gauge("kvstore_feature_level", "Lowest feature level that a group of this node is written at.", groups.Min(group => group.Level));
        }

        WriteGroups(text, groups, "kvstore_raft_term", "gauge", "Term of the group.", group => group.Term);
        WriteGroups(text, groups, "kvstore_raft_commit_index", "gauge", "Highest index known to be committed.", group => group.Commit);
        WriteGroups(text, groups, "kvstore_raft_applied_index", "gauge", "Highest index applied.", group => group.Applied);
        WriteGroups(text, groups, "kvstore_raft_log_first_index", "gauge", "Lowest index in the log.", group => group.FirstIndex);
        WriteGroups(text, groups, "kvstore_raft_snapshot_index", "gauge", "Index of the newest snapshot.", group => group.SnapshotIndex);
        WriteGroups(text, groups, "kvstore_raft_leader", "gauge", "1 when this node leads it.", group => group.Leader == self ? 1 : 0);
        WriteGroups(text, groups, "kvstore_raft_leader_known", "gauge", "1 when a leader is known.", group => group.Leader.IsNone ? 0 : 1);
        WriteGroups(
            text, groups, "kvstore_group_clock_lead_seconds", "gauge", "How far the group's time is ahead of the slowest wall clock of its nodes.",
            group => group.ClockLeadSeconds);
        WriteGroups(text, groups, "kvstore_group_keys", "gauge", "Keys of the group.", group => group.Keys);
    }

    private static void WriteGroups(
        PrometheusText text, IReadOnlyList<GroupStatus> groups, string name, string type, string help, Func<GroupStatus, double> value)
    {
        text.Family(name, type, help);
        foreach (GroupStatus group in groups)
        {
            text.Sample(name, $"group=\"{group.Group}\"", value(group));
        }
    }
}
