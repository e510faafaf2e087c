using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>What other threads see of a loop: where they post, how much of what they post it has not looked at, and what it holds.</summary>
internal sealed class LoopFront(int tableChunkBytes)
{
    private long _peerBytes;

    public Inbox<LoopItem> Inbox { get; } = new();

    /// <summary>Where the tables of its groups lie.</summary>
    public SlabArena Arena { get; } = new(tableChunkBytes);

    public LoopCounters Counters { get; } = new();

    /// <summary>Replicas among its groups.</summary>
    public int Replicas { get; set; }

    public long TableBytesPerGroup => Replicas == 0 ? 0 : Arena.LiveBytes / Replicas;

    /// <summary>Bytes of peers' payloads in the inbox.</summary>
    public long PeerBytes => Interlocked.Read(ref _peerBytes);

    /// <summary>Of the loops of a node the one that owns a group.</summary>
    public static LoopFront Of(IReadOnlyList<LoopFront> loops, GroupId group) => loops[NumberOf(loops.Count, group)];

    public static int NumberOf(int loops, GroupId group) => (int)(group.Value % (uint)loops);

    /// <summary>False: peers have sent more than this loop has looked at; the payload is dropped and Raft sends it again.</summary>
    public bool TryPost(PeerMessages messages, long mostBytes)
    {
        if (Interlocked.Add(ref _peerBytes, messages.Bytes) > mostBytes)
        {
            Interlocked.Add(ref _peerBytes, -messages.Bytes);
            return false;
        }

        Inbox.Post(messages);
        return true;
    }

    /// <summary>The loop looks at them.</summary>
    public void Taken(PeerMessages messages) => Interlocked.Add(ref _peerBytes, -messages.Bytes);
}
