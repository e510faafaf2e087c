using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>How a replica comes to be: from what the log and the snapshot folder have of it, or with nothing.</summary>
internal sealed class ReplicaOpener(SharedState node, IFileSystem files, WriteAheadLog log, ReplicaDirectory replicas)
{
    /// <summary>
    /// Which replica of a group this process starts with. The log knows; only a group it has never met, in a cluster whose
    /// placement has never changed, is at its first start and has its replica from the placement.
    /// </summary>
    public ReplicaRecord AtStart(GroupId group)
    {
        RoutingTable routing = node.Routing.Table;
        var placed = new ReplicaRecord(new ReplicaId(routing.ReplicaOn(group, node.Options.Self)), RoutingTable.FirstEpoch);
        if (log.Found.TryGetValue(group.Value, out ReplicaRecord found))
        {
            // Logs of earlier builds do not say whose they are; placements did not change then.
            return found == default ? placed : found;
        }

        return routing.Epoch == RoutingTable.FirstEpoch ? placed : default;
    }

    public Replica Open(Turn turn, GroupId group, ReplicaRecord record)
    {
        DurableDirectory.Create(files, node.Options.SnapshotDirectory(group));
        ConfState voters = ConfState.Of(node.Routing.Table.ReplicasOf(group).Select(p => new ReplicaId(p.ReplicaId)));
        var startingMark = new SnapshotMetadata(FirstIndexBefore, FirstTerm, LastClock: 0, voters);
        GroupLog groupLog = log.OpenGroup(group.Value, startingMark, record);
        DeleteSnapshots(group, groupLog.SnapshotFile);
        Replica replica = Make(turn, new ReplicaAddress(group, record.Replica), groupLog);
        replicas.Add(replica.Reader);
        node.Events.Report(new NodeEvent(
            NodeEventKind.Recovered, group, groupLog.RecoveredHardState.Term, groupLog.LastIndex,
            $"recovered: snapshot {groupLog.Snapshot.Index}, log {groupLog.FirstIndex} to {groupLog.LastIndex}"));
        return replica;
    }

    /// <summary>A replica comes while the node runs: nothing in it, and known to the log from its first write on. On its loop.</summary>
    public Replica New(Turn turn, GroupId group, ReplicaRecord record)
    {
        Replica replica = Make(turn, new ReplicaAddress(group, record.Replica), log.NewGroup(group.Value, record));
        replica.PublishStatus();
        replicas.Add(replica.Reader);
        node.Events.Report(new NodeEvent(NodeEventKind.ReplicaCame, group, 0, 0, $"replica {record.Replica} came, by placement {record.Epoch}"));
        return replica;
    }

    /// <summary>Files in a group's folder that are unfinished or replaced: the log refers to one file at most.</summary>
    public void DeleteSnapshots(GroupId group, string? except)
    {
        string directory = node.Options.SnapshotDirectory(group);
        foreach (string name in files.ListFiles(directory).Where(name => name != except))
        {
            files.Delete($"{directory}/{name}");
        }
    }

    private Replica Make(Turn turn, ReplicaAddress address, GroupLog groupLog)
    {
        KvStateMachine machine = groupLog.SnapshotFile is { } file
            ? SnapshotRestore.Now(turn.Loop.Arena, files, $"{node.Options.SnapshotDirectory(address.Group)}/{file}")
            : NewMachine(turn.Loop.Arena, address.Group, groupLog.Snapshot);
        Invariant.Check(machine.AppliedIndex == groupLog.Snapshot.Index, "a group starts at its snapshot");
        return new Replica(turn, node, address, groupLog, machine);
    }

    /// <summary>
    /// A group that has no snapshot yet, or a replica that has none of its group's: what the group owns stands in the placement alone.
    /// </summary>
    private KvStateMachine NewMachine(SlabArena arena, GroupId group, SnapshotMetadata start)
    {
        int[] virtualNodes = [.. node.Routing.Table.VirtualNodesOf(group), SystemVirtualNode.Of(group)];
        return new KvStateMachine(new GroupTable(arena, virtualNodes), virtualNodes, start, startGroupTime: 0);
    }

    /// <summary>A new group's log starts behind a mark at index 5, term 5: a replica with nothing is told from one with a start.</summary>
    internal const ulong FirstIndexBefore = 5;
    private const ulong FirstTerm = 5;
}
