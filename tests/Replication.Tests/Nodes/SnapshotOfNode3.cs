using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication.Tests;

/// <summary>A snapshot that the test has another real node take, for the one it talks to.</summary>
internal static class SnapshotOfNode3
{
    /// <summary>Fifteen no-ops of a term, with the first configuration.</summary>
    public static (SnapshotMetadata Snapshot, byte[] Piece) Take(ulong term)
    {
        var other = new LoneNode(self: 3, adjust: o => o with { SnapshotMinEntries = 10 });
        Entry[] entries = [.. Enumerable.Range(6, 15).Select(i => LoneNode.NoOp(term, (ulong)i))];
        other.Hear(new AppendEntries(LoneNode.IdOf(1), other.Replica.Id, term, 5, 5, entries[^1].Index, entries));
        other.Turn();
        other.Pass(50);
        other.Turn();
        other.TurnSnapshots();
        other.Turn();
        SnapshotMetadata snapshot = new(
            entries[^1].Index, term, entries[^1].LastClock, ConfState.Of(LoneNode.IdOf(1), LoneNode.IdOf(2), LoneNode.IdOf(3)));
        byte[] file = other.Disk.ReadAll($"/data/snap/1/{SnapshotName.Of(snapshot.Index, term)}");
        return (snapshot, SnapshotPayload.Piece(new GroupId(1), snapshot.Index, term, 0, file.Length, file));
    }
}
