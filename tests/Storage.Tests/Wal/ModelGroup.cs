using System.Text;
using KvStore.Raft;

namespace KvStore.Storage.Tests;

/// <summary>What a group's log should be, kept in the dullest way possible.</summary>
internal sealed class ModelGroup
{
    public static readonly SnapshotMetadata StartingMark =
        new(5, 5, 500, ConfState.Of(new ReplicaId(1), new ReplicaId(2), new ReplicaId(3)));

    public HardState HardState;
    public SnapshotMetadata Mark = StartingMark;
    public string? File;
    public (ulong Index, ulong Term, ulong Clock) Start = (5, 5, 500);
    public List<Entry> Entries = [];

    public ulong Last => Start.Index + (ulong)Entries.Count;

    public ulong Term(ulong index) => index == Start.Index ? Start.Term : Entries[(int)(index - Start.Index) - 1].Term;

    public ulong Clock(ulong index) => index == Start.Index ? Start.Clock : Entries[(int)(index - Start.Index) - 1].LastClock;

    public ModelGroup Clone()
    {
        ModelGroup copy = (ModelGroup)MemberwiseClone();
        copy.Entries = [.. Entries];
        return copy;
    }

    public void Append(HardState? state, IReadOnlyList<Entry> entries)
    {
        HardState = state ?? HardState;
        if (entries.Count > 0)
        {
            Entries.RemoveAll(e => e.Index >= entries[0].Index);
            Entries.AddRange(entries);
        }
    }

    public void Compact(SnapshotMetadata snapshot, string file, ulong keepFrom)
    {
        bool agrees = snapshot.Index >= Start.Index && snapshot.Index <= Last && Term(snapshot.Index) == snapshot.Term;
        if (agrees)
        {
            ulong index = Math.Max(keepFrom - 1, Start.Index);
            Start = (index, Term(index), Clock(index));
            Entries.RemoveAll(e => e.Index <= index);
        }
        else
        {
            Start = (snapshot.Index, snapshot.Term, snapshot.LastClock);
            Entries.Clear();
        }

        Mark = snapshot;
        File = file;
    }

    public string Render()
    {
        StringBuilder text = new();
        text.Append($"mark {Mark.Index}/{Mark.Term}/{Mark.LastClock} {File} voters {string.Join(',', Mark.Configuration.Voters)} ");
        text.Append($"start {Start.Index}/{Start.Term}/{Start.Clock}:");
        Entries.ForEach(e => Render(text, e));
        return text.ToString();
    }

    public static string Render(GroupLog log)
    {
        StringBuilder text = new();
        SnapshotMetadata mark = log.Snapshot;
        ulong before = log.FirstIndex - 1;
        text.Append($"mark {mark.Index}/{mark.Term}/{mark.LastClock} {log.SnapshotFile} ");
        text.Append($"voters {string.Join(',', mark.Configuration.Voters)} ");
        text.Append($"start {before}/{log.Term(before)}/{log.LastClock(before)}:");
        long charged = 0;
        if (log.LastIndex > before)
        {
            foreach (Entry e in log.Entries(log.FirstIndex, log.LastIndex + 1, long.MaxValue))
            {
                Assert.Equal(e.Term, log.Term(e.Index));
                Assert.Equal(e.LastClock, log.LastClock(e.Index));
                charged += e.ChargedBytes;
                Render(text, e);
            }
        }

        Assert.Equal(charged, log.LiveBytes);
        return text.ToString();
    }

    private static void Render(StringBuilder text, Entry e) =>
        text.Append($" {e.Index}/{e.Term}/{e.Kind}/{e.FeatureLevel}/{e.Clock}+{e.Count}={Convert.ToHexString(e.Payload.Span)}");
}
