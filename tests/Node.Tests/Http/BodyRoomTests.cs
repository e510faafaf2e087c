using System.Net.Sockets;
using System.Text;
using KvStore.Node.Http;
using Microsoft.Extensions.DependencyInjection;

namespace KvStore.Node.Tests.Http;

/// <summary>Uploads that do not end: they hold what has come of them, and go when others need that.</summary>
public sealed class BodyRoomTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Fact]
    public void The_body_that_began_first_makes_room()
    {
        var room = new BodyRoom(100);
        using BodyRoom.Claim first = room.Begin();
        using BodyRoom.Claim second = room.Begin();
        first.Hold(40);
        second.Hold(60);
        Assert.False(first.Ended.IsCancellationRequested);
        second.Hold(61);
        Assert.True(first.Ended.IsCancellationRequested);
        Assert.False(second.Ended.IsCancellationRequested);
        Assert.Equal(61, room.HeldBytes);
        second.Dispose();
        Assert.Equal(0, room.HeldBytes);
    }

    /// <summary>400 uploads of a MiB were 400 MiB at once, whatever came of them.</summary>
    [Fact]
    public async Task D2_what_an_upload_announces_costs_nothing_and_what_it_sends_not_more_than_there_is_for_all()
    {
        door.Reset();
        BodyRoom bodies = door.Services.GetRequiredService<FrontDoor>().Bodies;
        List<Socket> slow = [];
        for (int i = 0; i < 400; i++)
        {
            Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(door.Address);
            await socket.SendAsync(Encoding.ASCII.GetBytes("PUT /v1/kv/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx"));
            slow.Add(socket);
        }

        await Hosting.RunningCluster.UntilAsync("all have begun", () => Task.FromResult(bodies.HeldBytes >= 400 * 4096));
        Assert.InRange(bodies.HeldBytes, 400 * 4096, 400 * 8192);
        foreach (Socket socket in slow)
        {
            await socket.SendAsync(new byte[500_000]);
        }

        using HttpResponseMessage put = await door.Client.PutAsync("/v1/kv/other", new ByteArrayContent(new byte[900_000]));
        Assert.True(put.IsSuccessStatusCode);
        Assert.InRange(bodies.HeldBytes, 1, BodyRoom.MostBytes);

        // The first one has been told.
        byte[] answer = new byte[1000];
        int length = await slow[0].ReceiveAsync(answer).WaitAsync(TimeSpan.FromSeconds(20));
        Assert.StartsWith("HTTP/1.1 408", Encoding.ASCII.GetString(answer, 0, length), StringComparison.Ordinal);
        slow.ForEach(socket => socket.Dispose());
        await Hosting.RunningCluster.UntilAsync("all is given back", () => Task.FromResult(bodies.HeldBytes == 0));
    }
}
