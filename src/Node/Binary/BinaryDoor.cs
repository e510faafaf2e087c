using System.Collections.Frozen;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net;
using KvStore.Node.Config;
using KvStore.Node.Doors;
using KvStore.Node.Http;
using KvStore.Node.Logging;
using KvStore.Node.Peers;
using KvStore.Protocol;
using KvStore.Replication;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Connections.Features;

namespace KvStore.Node.Binary;

/// <summary>
/// The binary front door: clients, and other nodes passing a request on. Kestrel accepts, Protocol frames and correlates, the
/// store answers; what is decided here is who may come in.
/// </summary>
internal sealed partial class BinaryDoor(FrontDoor door, ILogger<BinaryDoor> log) : IDisposable
{
    /// <summary>
    /// A request from outside has so many hops, whatever it says: two nodes that each believe the other leads must not play
    /// ball with it.
    /// </summary>
    private const byte MaxHops = KvRequest.MostHops;

    private const FeatureBits Supported = FeatureBits.Streams;

    private static readonly RequestServerOptions WithoutStreams = new();
    private static readonly RequestServerOptions WithStreams = new() { Streams = true };

    /// <summary>A node asks for all its clients, and stops by itself at as much.</summary>
    private static readonly RequestServerOptions OfNodes = new() { MaxInFlight = new RequestChannelOptions().MaxInFlight };

    /// <summary>Clients that dial again and again, while a node starts or for ever, must not fill its log: one line of a kind.</summary>
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(10);

    /// <summary>For telling somebody why it has to go.</summary>
    private static readonly TimeSpan LastWordTimeout = TimeSpan.FromMilliseconds(500);

    private readonly BinaryMeter _meter = new();
    private readonly RequestServers _servers = new(door.Config.Limits.ShareOfDoors(FrameBudget.DefaultBytes));
    private readonly LogThrottle _malformed = new(TimeProvider.System, LineInterval);
    private readonly LogThrottle _late = new(TimeProvider.System, LineInterval);
    private readonly FrozenDictionary<HelloRefusal, LogThrottle> _refused =
        Enum.GetValues<HelloRefusal>().ToFrozenDictionary(reason => reason, _ => new LogThrottle(TimeProvider.System, LineInterval));

    /// <summary>Of the binary port.</summary>
    public Places Places { get; } = new(
        door.Config.Doors.Connections, door.Config.Doors.ConnectionsPerAddress, door.Config.Doors.PlacesForRefusals,
        1000L * door.Config.Doors.IdleSeconds, DoorSettings.ConnectionsPerNode);

    public BinaryCounters Counters => _meter.Read() with
    {
        Streams = _servers.OpenStreams,
        StreamBytes = _servers.HeldItemBytes,
        UnfinishedFrameBytes = _servers.Frames.ReservedBytes,
    };

    /// <summary>Asks every client to go elsewhere with what is new. They are served until the port closes.</summary>
    public void GoAway(GoAwayReason reason, int drainMs) => _servers.GoAway(new GoAway(reason, drainMs));

    public void Dispose() => Places.Dispose();

    public async Task ServeAsync(ConnectionContext connection)
    {
        Place place = connection.Features.GetRequiredFeature<Place>();
        _meter.Opened();
        try
        {
            if (await GreetAsync(connection, place) is { } visitor)
            {
                using CancellationTokenRegistration ended = place.Ended.UnsafeRegister(
                    static state => ((ConnectionContext)state!).Abort(new ConnectionAbortedException("somebody else needs the place")), connection);
                CancellationToken stopping =
                    connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? CancellationToken.None;
                RequestServerOptions options = visitor.IsNode ? OfNodes
                    : (visitor.Features & FeatureBits.Streams) != 0 ? WithStreams : WithoutStreams;

                // Who has proved to be a node was given its share where its clients asked.
                RequestSource? source = visitor.HasProved ? null : new RequestSource();
                OnEnd(
                    connection.RemoteEndPoint,
                    await RequestServer.ServeAsync(
                        connection.Transport, (request, ticket) => Submit(request, ticket, place, source), options, _servers, place.Heard, stopping));
            }
        }
        catch (OperationCanceledException) when (place.Ended.IsCancellationRequested)
        {
            _meter.Refused();
            await SayFullAsync(connection.Transport.Output);
        }
        catch (Exception error) when (error is OperationCanceledException or IOException)
        {
            // No hello in time, or the client left before one.
            _meter.HelloMissing();
        }
        finally
        {
            _meter.Closed();
        }
    }

    /// <summary>Who has been let in, and the features both sides have. Without a cluster secret nobody proves anything.</summary>
    private readonly record struct Visitor(FeatureBits Features, bool IsNode, bool HasProved);

    // Null when the connection is over.
    private async Task<Visitor?> GreetAsync(ConnectionContext connection, Place place)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed, place.Ended);
        deadline.CancelAfter(door.Config.Doors.HelloMs);
        ReceivedHello received = await Handshake.ReceiveAsync(connection.Transport.Input, deadline.Token);
        if (received is { Client: null, Peer: null })
        {
            OnMalformed(connection.RemoteEndPoint, received.Failure!);
            if (received.Answer is { } answer)
            {
                await Handshake.RefuseAsync(connection.Transport.Output, answer, deadline.Token);
            }

            return null;
        }

        StoreCalls? store = door.Store;
        var (proof, unproved) = received.Client is null
            ? default
            : await SecretRule.ApplyAsync(connection.Transport, received, door.Config.Security.ClusterSecret, door.NodeName, deadline.Token);
        bool isNode = received.Client is { } client && (proof is not null || door.Config.Security.ClusterSecret is null) && IsNode(client.ClientName);
        bool reserved = isNode && proof is not null && place.TryReserve(received.Client!.ClientName);
        if ((unproved ?? (place.IsBeyond ? Full() : Refusal(received, store))) is { } refusal)
        {
            _meter.Refused();
            if (_refused[refusal.Reason].TryEnter(out long leftOut))
            {
                LogRefused(log, connection.RemoteEndPoint, refusal.Reason, refusal.Detail, leftOut);
            }

            await Handshake.RefuseAsync(connection.Transport.Output, refusal, proof, deadline.Token);
            return null;
        }

        ClientHello hello = received.Client!;
        HelloAck ack = store!.Introduction with
        {
            Protocol = ProtocolVersion.Choose(hello.ProtocolMin, hello.ProtocolMax),
            Features = Supported & hello.Features,
            Epoch = store.Routing().Epoch,
        };
        await Handshake.AcknowledgeAsync(connection.Transport.Output, ack, proof, deadline.Token);
        if (!reserved)
        {
            place.Greeted();
        }

        return new Visitor(ack.Features, isNode, isNode && proof is not null);
    }

    private HelloRefused? Refusal(ReceivedHello received, StoreCalls? store)
    {
        if (received.Client is not { } hello)
        {
            return new HelloRefused(
                HelloRefusal.Malformed, $"this is the binary port of {door.NodeName} for requests; nodes meet on its peer port");
        }

        if (ProtocolVersion.Choose(hello.ProtocolMin, hello.ProtocolMax) == 0)
        {
            return new HelloRefused(
                HelloRefusal.ProtocolVersion,
                $"{door.NodeName} speaks protocol {ProtocolVersion.Min} to {ProtocolVersion.Max}, "
                    + $"the client {hello.ProtocolMin} to {hello.ProtocolMax}");
        }

        if (hello.ClusterId.Length != 0 && hello.ClusterId != door.Config.ClusterId)
        {
            return new HelloRefused(
                HelloRefusal.WrongCluster,
                $"{door.NodeName} belongs to cluster '{door.Config.ClusterId}', the client wants '{Excerpt.Of(hello.ClusterId)}'");
        }

        return store is null ? new HelloRefused(HelloRefusal.Starting, $"{door.NodeName} is reading its log; try again in a moment") : null;
    }

    private bool IsNode(string name) => door.Config.Nodes.Any(node => node.Id == name && name != door.NodeName);

    private HelloRefused Full() => new(
        HelloRefusal.TooManyConnections,
        $"{door.NodeName} has as many connections as it takes; use those that are open, try again in a moment, or ask another node");

    /// <summary>It had said nothing yet, and somebody else needs the place.</summary>
    private async Task SayFullAsync(PipeWriter output)
    {
        using CancellationTokenSource limit = new(LastWordTimeout);
        try
        {
            await Handshake.RefuseAsync(output, Full(), limit.Token);
        }
        catch (Exception error) when (error is OperationCanceledException or IOException or InvalidOperationException)
        {
            // it has gone by itself
        }
    }

    private void Submit(KvRequest request, ReplyTicket ticket, Place place, RequestSource? source)
    {
        place.Begin();
        door.Submit(
            request.HopsLeft > MaxHops ? request with { HopsLeft = MaxHops } : request,
            new TicketSink(ticket, request, door.Meter, place, source, Stopwatch.GetTimestamp()));
    }

    private void OnEnd(EndPoint? remote, ConnectionEnd end)
    {
        switch (end.Reason)
        {
            case ConnectionEndReason.MalformedFrame or ConnectionEndReason.ProtocolViolation:
                OnMalformed(remote, end.Violation ?? $"{end.Reason} ({end.FrameError})");
                break;
            case ConnectionEndReason.FrameTimedOut:
                _meter.FrameTimedOut();
                if (_late.TryEnter(out long leftOut))
                {
                    LogFrameTimedOut(log, remote, WithStreams.FrameTimeoutMs, leftOut);
                }

                break;
            case ConnectionEndReason.Failed when end.Exception is not (null or IOException or OperationCanceledException):
                LogFailed(log, end.Exception, remote);
                break;
        }
    }

    private void OnMalformed(EndPoint? remote, string reason)
    {
        _meter.Malformed();
        if (_malformed.TryEnter(out long leftOut))
        {
            LogMalformed(log, remote, reason, leftOut);
        }
    }

    [LoggerMessage(EventId = 3101, Level = LogLevel.Information,
        Message = "Closed a binary connection from {Remote}: {Reason} (since the last such line: {LeftOut} more)")]
    private static partial void LogMalformed(ILogger log, EndPoint? remote, string reason, long leftOut);

    [LoggerMessage(EventId = 3102, Level = LogLevel.Information,
        Message = "Refused a binary connection from {Remote}: {Reason}, {Detail} (since the last such line: {LeftOut} more)")]
    private static partial void LogRefused(ILogger log, EndPoint? remote, HelloRefusal reason, string detail, long leftOut);

    [LoggerMessage(EventId = 3103, Level = LogLevel.Error, Message = "A binary connection from {Remote} failed")]
    private static partial void LogFailed(ILogger log, Exception error, EndPoint? remote);

    [LoggerMessage(EventId = 3104, Level = LogLevel.Information,
        Message = "Closed a binary connection from {Remote}: a frame began and did not end within {TimeoutMs} ms "
            + "(since the last such line: {LeftOut} more)")]
    private static partial void LogFrameTimedOut(ILogger log, EndPoint? remote, int timeoutMs, long leftOut);

    private sealed class TicketSink(
        ReplyTicket ticket, KvRequest request, RequestMeter meter, Place place, RequestSource? source, long started) : IReplySink
    {
        public RequestSource? Source => source;

        public bool IsUnwanted => ticket.IsCancelled;

        public void Complete(KvReply reply)
        {
            meter.Record(request, reply, started);

            // False means that the client has gone; what was done stays done.
            ticket.TryComplete(reply);
            place.End();
        }
    }
}
