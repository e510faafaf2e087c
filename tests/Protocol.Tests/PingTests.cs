using System.Buffers;

namespace KvStore.Protocol.Tests;

/// <summary>A link that swallows everything looks like one on which nobody has anything to say, until it is asked.</summary>
public sealed class PingTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly RequestChannelOptions Options = new() { PingAfterMs = 1000, PongWithinMs = 1500 };

    [Fact]
    public async Task A_link_that_swallows_everything_is_found_within_three_seconds_while_nothing_is_asked()
    {
        var time = new ManualTime();
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, Options, time);
        Pass(time, 2_400);
        Assert.False(channel.Completion.IsCompleted);
        Assert.Equal(FrameKind.Ping, await KindAsync(far));
        Pass(time, 600);
        Assert.Equal(ConnectionEndReason.Unresponsive, (await channel.Completion.WaitAsync(Patience)).Reason);
    }

    [Fact]
    public async Task A_node_that_answers_pings_keeps_its_idle_connection()
    {
        var time = new ManualTime();
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, _) => { });
        await using var channel = RequestChannel.Start(near, Options, time);
        for (int second = 0; second < 20; second++)
        {
            Pass(time, 1_000);

            // The answer comes over a pipe, on other threads, while this time stands still.
            while (channel.AwaitsPong)
            {
                await Task.Delay(1);
            }
        }

        Assert.True(channel.IsOpen);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_process_that_stood_still_asks_before_it_believes_in_silence()
    {
        var time = new ManualTime();
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, Options, time);
        Pass(time, 1_250);
        time.Advance(60_000);
        Assert.False(channel.Completion.IsCompleted);
        Pass(time, 1_000);
        Assert.False(channel.Completion.IsCompleted);
        Pass(time, 1_000);
        Assert.Equal(ConnectionEndReason.Unresponsive, (await channel.Completion.WaitAsync(Patience)).Reason);
        _ = far;
    }

    [Fact]
    public async Task A_pong_that_nobody_asked_for_is_a_violation()
    {
        var time = new ManualTime();
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, Options, time);
        await far.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Pong, FrameFlags.None, 1, []));
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await channel.Completion.WaitAsync(Patience)).Reason);
    }

    private static void Pass(ManualTime time, int milliseconds)
    {
        for (int passed = 0; passed < milliseconds; passed += 50)
        {
            time.Advance(50);
        }
    }

    private static async Task<FrameKind> KindAsync(DuplexPipe far)
    {
        var read = await far.Input.ReadAtLeastAsync(FrameHeader.SizeBytes).AsTask().WaitAsync(Patience);
        ReadOnlySequence<byte> buffer = read.Buffer;
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref buffer, Limits.MaxRequestBytes, out var frame, out _));
        far.Input.AdvanceTo(buffer.Start);
        return frame.Kind;
    }
}
