using System.Buffers;
using System.IO.Pipelines;
using KvStore.Node.Doors;

namespace KvStore.Node.Http;

/// <summary>
/// Reads a request body into one exactly sized array: the bytes live on in the log and in the table. One that has come whole is copied once; one
/// that comes slowly takes memory as it comes (<see cref="BodyRoom"/>), whatever length it says.
/// </summary>
internal static class RequestBody
{
    /// <summary>
    /// Null when the body is larger than the limit; a declared length over it is refused before anything is read. While it comes the node
    /// owes the client nothing.
    /// </summary>
    /// <param name="request">Whose body it is.</param>
    /// <param name="limitBytes">Most bytes taken.</param>
    /// <param name="room">For what has come of bodies that have not come whole.</param>
    /// <param name="ending">The node takes nothing new any more.</param>
    /// <param name="aborted">The client has gone.</param>
    /// <exception cref="OperationCanceledException">One of the two was cancelled.</exception>
    /// <exception cref="BadHttpRequestException">
    /// The body is not one: it ends early, or says a length of a chunk that cannot be. Or it came too slowly, and others needed its room.
    /// </exception>
    public static async ValueTask<byte[]?> ReadAsync(
        HttpRequest request, int limitBytes, BodyRoom room, CancellationToken ending, CancellationToken aborted)
    {
        if (request.ContentLength == 0)
        {
            return [];
        }

        if (request.ContentLength > limitBytes)
        {
            return null;
        }

        using CancellationTokenRegistration end = EndWith(request.BodyReader, ending);
        Place? place = request.HttpContext.Features.Get<Place>();
        place?.End();
        try
        {
            // Nearly every body has come with its headers: it is in the first read, and needs no place among those that are waited for.
            ReadResult read = await ReadAsync(request.BodyReader, ending, aborted);
            return read.IsCompleted || read.Buffer.Length == request.ContentLength
                ? Whole(request, read, limitBytes)
                : await ReadInPartsAsync(request, read, limitBytes, room, ending, aborted);
        }
        catch (Exception error) when (error is ArithmeticException or ArgumentException or InvalidDataException
            or IOException { InnerException: ArithmeticException } or InvalidOperationException { Source: KestrelAssembly })
        {
            // What the server's parser throws at sizes that fit into none of its numbers, and at trailers that are no text.
            throw new BadHttpRequestException("The body says a length, or ends with a trailer, that cannot be.", error);
        }
        finally
        {
            place?.Begin();
        }
    }

    private static byte[]? Whole(HttpRequest request, ReadResult read, int limitBytes)
    {
        CheckEnd(request, read.Buffer.Length);
        byte[]? body = read.Buffer.Length > limitBytes ? null : read.Buffer.ToArray();
        request.BodyReader.AdvanceTo(read.Buffer.End);
        return body;
    }

    private static async ValueTask<byte[]?> ReadInPartsAsync(
        HttpRequest request, ReadResult read, int limitBytes, BodyRoom room, CancellationToken ending, CancellationToken aborted)
    {
        using BodyRoom.Claim claim = room.Begin();
        PipeReader reader = request.BodyReader;
        using CancellationTokenRegistration end = EndWith(reader, claim.Ended);
        int most = (int)(request.ContentLength ?? limitBytes);
        byte[] body = [];
        int filled = 0;
        while (true)
        {
            int length = (int)Math.Min(read.Buffer.Length, int.MaxValue);
            if (filled + (long)length > most)
            {
                reader.AdvanceTo(read.Buffer.End);
                return null;
            }

            if (filled + length > body.Length)
            {
                int bytes = (int)Math.Min(most, Math.Max(FirstBytes, Growth * (long)(filled + length)));
                claim.Hold(bytes);
                Array.Resize(ref body, bytes);
            }

            read.Buffer.CopyTo(body.AsSpan(filled));
            filled += length;
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted || filled == request.ContentLength)
            {
                CheckEnd(request, filled);
                return filled == body.Length ? body : body[..filled];
            }

            read = await ReadAsync(reader, ending, aborted);
        }
    }

    /// <summary>
    /// Ends the reading by the reader's own means: a read that a token cancels counts as going on for ever, and the server could not pass over
    /// the rest of the body.
    /// </summary>
    private static CancellationTokenRegistration EndWith(PipeReader reader, CancellationToken end) =>
        end.UnsafeRegister(static reader => ((PipeReader)reader!).CancelPendingRead(), reader);

    private static async ValueTask<ReadResult> ReadAsync(PipeReader reader, CancellationToken ending, CancellationToken aborted)
    {
        ReadResult read = await reader.ReadAsync(aborted);
        if (!read.IsCanceled)
        {
            return read;
        }

        reader.AdvanceTo(read.Buffer.End);
        ending.ThrowIfCancellationRequested();
        throw new BadHttpRequestException(
            "The body did not come in time, and the node needs the memory that it takes for others; send it again.",
            StatusCodes.Status408RequestTimeout);
    }

    private static void CheckEnd(HttpRequest request, long length)
    {
        if (length < request.ContentLength)
        {
            throw new BadHttpRequestException("The body ended before its Content-Length.");
        }
    }

    /// <summary>What a body that is waited for holds at first, and how many times as much as has come it may hold later.</summary>
    private const int FirstBytes = 4096;
    private const string KestrelAssembly = "Microsoft.AspNetCore.Server.Kestrel.Core";
    private const int Growth = 4;
}
