using FsCheck;
using FsCheck.Fluent;
using KvStore.Raft.Tests.Harness;

namespace KvStore.Raft.Tests.Properties;

/// <summary>
/// A follower's log under random appends of ever new leaders, with a disk that writes slowly but in order, against a plain list.
/// </summary>
public sealed class LogTests
{
    internal static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(500);

    [Fact]
    public void The_log_is_what_the_appends_made_it_and_durable_where_it_says_so() =>
        Prop.ForAll(Seeds(), seed => Play(seed, refusesOldTerms: true)).Check(Thorough);

    [Fact]
    public void Progress_never_regresses() => Prop.ForAll(Seeds(), PlayProgress).Check(Thorough);

    internal static Arbitrary<int> Seeds() => Gen.Choose(1, int.MaxValue).ToArbitrary();

    internal static bool Play(int seed, bool refusesOldTerms)
    {
        var random = new Random(seed);
        var disk = new MemoryLog(TestCluster.StartMark(TestCluster.VotersOnly(3)));
        var log = new RaftLog(disk, commit: 0, applied: 0);
        List<List<Entry>> leaders = [[]];
        List<Entry> expected = [];
        Queue<(ulong Term, IReadOnlyList<Entry> Entries, ulong Index, ulong EntryTerm)> writes = new();
        for (int step = 0; step < 200; step++)
        {
            ulong term = (ulong)leaders.Count - 1;
            List<Entry> leader = leaders[^1];
            switch (random.Next(8))
            {
                case 0:
                    List<Entry> before = leaders[random.Next(leaders.Count)];
                    List<Entry> next = before.GetRange(0, random.Next(before.Count + 1));
                    for (int i = random.Next(3); i > 0; i--)
                    {
                        next.Add(LoneReplica.NewEntry((ulong)next.Count + 1, term + 1));
                    }

                    leaders.Add(next);
                    break;
                case 1 or 2 or 3:
                    int previous = random.Next(leader.Count + 1);
                    if (log.Matches((ulong)previous, previous == 0 ? 0 : leader[previous - 1].Term))
                    {
                        List<Entry> sent = leader.GetRange(previous, random.Next(leader.Count - previous + 1));
                        log.AppendAfterMatch(sent);
                        if (!expected.Skip(previous).Take(sent.Count).SequenceEqual(sent))
                        {
                            expected = [.. expected.Take(previous), .. sent];
                        }
                    }

                    break;
                case 4 or 5:
                    IReadOnlyList<Entry> entries = log.Unstable.HandOut();
                    writes.Enqueue((term, entries, log.LastIndex, log.LastTerm));
                    break;
                default:
                    if (writes.TryDequeue(out (ulong Term, IReadOnlyList<Entry> Entries, ulong Index, ulong EntryTerm) write))
                    {
                        disk.Write(write.Entries);
                        if (write.Term == term || !refusesOldTerms)
                        {
                            log.Unstable.TrimTo(write.Index, write.EntryTerm);
                        }
                    }

                    break;
            }

            if (!Same(log, disk, expected))
            {
                return false;
            }
        }

        return true;
    }

    private static bool Same(RaftLog log, MemoryLog disk, List<Entry> expected)
    {
        if (log.LastIndex != (ulong)expected.Count)
        {
            return false;
        }

        foreach (Entry entry in expected)
        {
            bool durable = entry.Index < log.Unstable.Offset;
            Entry here = durable ? disk[entry.Index] : log.Unstable[entry.Index];
            if (here != entry)
            {
                return false;
            }
        }

        return true;
    }

    private static bool PlayProgress(int seed)
    {
        var random = new Random(seed);
        var progress = new Progress(new ReplicaId(2), next: 10, new Inflights(maxCount: 3, maxBytes: 100));
        ulong last = 10;
        for (int step = 0; step < 300; step++)
        {
            ulong match = progress.Match;
            switch (random.Next(8))
            {
                case 0 or 1 or 2 when !progress.IsPaused:
                    ulong end = progress.Next - 1 + (progress.Inflights.IsFull ? 0 : (ulong)random.Next(4));
                    last = Math.Max(last, end);
                    progress.OnSent(end, bytes: random.Next(1, 80), hasEntries: end >= progress.Next);
                    break;
                case 3:
                    ulong index = (ulong)random.Next((int)last + 1);
                    if (progress.TryAdvance(index))
                    {
                        progress.Inflights.FreeUpTo(index);
                    }

                    break;
                case 4:
                    progress.TryStepBack((ulong)random.Next((int)last + 1), (ulong)random.Next((int)last + 1));
                    break;
                case 5:
                    progress.TryResume(heartbeat: (ulong)random.Next(300));
                    break;
                case 6:
                    progress.BecomeReplicate();
                    break;
                default:
                    progress.BecomeProbe();
                    break;
            }

            if (progress.Match < match || progress.Next <= progress.Match || progress.Inflights.Count > 3)
            {
                return false;
            }
        }

        return true;
    }
}
