using System.Collections.Concurrent;
using System.Text;

namespace KvStore.Protocol.Tests;

/// <summary>
/// Connections that end at any moment and streams damaged anywhere. Threads are involved, so a seed fixes the input and not the run.
/// </summary>
public sealed class ConnectionChaosTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Whenever_a_connection_ends_every_request_is_told_once_and_never_sent_is_true()
    {
        const int Seed = 31_001;
        var random = new Random(Seed);
        int replied = 0, neverSent = 0;
        for (int round = 0; round < 200; round++)
        {
            var handled = new ConcurrentDictionary<string, bool>();
            int closeAfter = random.Next(1, 100);

            // Threads decide how far a round gets; that replies come, and that requests meet an ended connection, is made sure of.
            bool closeByReplies = round % 3 == 1;
            bool sendAfterwards = round % 3 == 2;
            int repliesHere = 0;
            var (near, far) = DuplexPipe.Create(pauseAt: random.Next(2) == 0 ? 64 : 64 << 10);
            ushort peerLevel = round % 2 == 0 ? FeatureLevel.First : FeatureLevel.Max;
            await using var channel = RequestChannel.Start(near, new RequestChannelOptions { MaxInFlight = 500, PeerLevel = peerLevel });
            var enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var serving = RequestServer.ServeAsync(far, (request, ticket) =>
            {
                handled.TryAdd(Encoding.UTF8.GetString(request.Key.Span), true);
                ticket.TryComplete(new KvReply { Result = Samples.Found(request.Key.Span) });
                if (handled.Count == closeAfter && !closeByReplies)
                {
                    enough.TrySetResult();
                }
            });
            var senders = Enumerable.Range(0, 2).Select(sender => Task.Run(async () =>
            {
                if (sendAfterwards && sender == 1)
                {
                    await enough.Task;
                    await channel.DisposeAsync();
                }

                var keys = Enumerable.Range(0, 100).Select(i => $"{sender}/{i}");
                var sent = keys.Select(key => (Key: key, Result: channel.SendAsync(RequestChannelTests.Get(key)).AsTask())).ToList();
                var ends = new List<(string Key, RequestResult Result)>();
                foreach (var (key, pending) in sent)
                {
                    ends.Add((key, await pending));
                    if (closeByReplies && Interlocked.Increment(ref repliesHere) == closeAfter)
                    {
                        enough.TrySetResult();
                    }
                }

                return ends;
            })).ToArray();
            await Task.WhenAny(enough.Task, Task.WhenAll(senders)).WaitAsync(Patience);
            await channel.DisposeAsync();
            var results = (await Task.WhenAll(senders).WaitAsync(Patience)).SelectMany(ends => ends).ToList();
            await serving.WaitAsync(Patience);

            string because = $"seed {Seed}, round {round}";
            foreach (var (key, result) in results)
            {
                Assert.True(!result.NeverSent || !handled.ContainsKey(key), $"{because}: {key} was reported as never sent and was handled");
                if (result.End == RequestEnd.Replied)
                {
                    string answered = Encoding.UTF8.GetString(result.Reply!.Value.Span);
                    Assert.True(answered == key && handled.ContainsKey(key), $"{because}: {key} got the reply of {answered}");
                }
            }

            replied += results.Count(end => end.Result.End == RequestEnd.Replied);
            neverSent += results.Count(end => end.Result.End == RequestEnd.NotSent);
        }

        // The rounds are worth something only when both happen.
        Assert.True(replied > 100 && neverSent > 100, $"{replied} replied, {neverSent} never sent");
    }

    [Fact]
    public async Task Damaged_streams_end_their_connection_with_a_reason_and_nothing_else()
    {
        const int Seed = 31_002;
        var random = new Random(Seed);
        for (int round = 0; round < 1_000; round++)
        {
            byte[] stream = [.. Enumerable.Range(1, 5).SelectMany(id =>
                FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, (ulong)id, RandomBody(random)))];
            int at = random.Next(stream.Length);
            stream[at] ^= (byte)(1 << random.Next(8));
            var (near, far) = DuplexPipe.Create(pauseAt: 1 << 20);
            int handled = 0;
            var serving = RequestServer.ServeAsync(far, (_, ticket) =>
            {
                handled++;
                ticket.TryComplete(new KvReply());
            });
            for (int from = 0; from < stream.Length;)
            {
                int length = Math.Min(random.Next(1, 400), stream.Length - from);
                await near.Output.WriteAsync(stream.AsMemory(from, length));
                from += length;
            }

            await near.Output.CompleteAsync();
            var end = await serving.WaitAsync(Patience);
            bool named = end.Reason == ConnectionEndReason.MalformedFrame && end.FrameError != FrameError.None;
            Assert.True(named, $"seed {Seed}, round {round}: {end}");
            Assert.InRange(handled, 0, 4);
        }
    }

    private static byte[] RandomBody(Random random) => random.Next(2) == 0
        ? CodecTests.Encode(Samples.RandomRequest(random))
        : CodecTests.EncodeFlat(Samples.RandomFlatRequest(random));
}
