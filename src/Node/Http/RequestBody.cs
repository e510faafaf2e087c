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
    /// <exception cref="BadHttpRequestException">The body is not one: it ends early, or says a length of a chunk that cannot be.</exception>
    public static async ValueTask<byte[]?> ReadAsync(HttpRequest request, int limitBytes, BodyRoom room, CancellationToken cancellationToken)
    {
        if (request.ContentLength == 0)
        {
            return [];
        }

        if (request.ContentLength > limitBytes)
        {
            return null;
        }

        Place? place = request.HttpContext.Features.Get<Place>();
        place?.End();
        try
        {
            // Nearly every body has come with its headers: it is in the first read, and needs no place among those that are waited for.
            ReadResult read = await request.BodyReader.ReadAsync(cancellationToken);
            return read.IsCompleted || read.Buffer.Length == request.ContentLength
                ? Whole(request, read, limitBytes)
                : await ReadInPartsAsync(request, read, limitBytes, room, cancellationToken);
        }
        catch (Exception error) when (error is ArithmeticException or ArgumentException or InvalidDataException
            or IOException { InnerException: ArithmeticException })
        {
            // What the server's parser throws at sizes that fit into none of its numbers.
            throw new BadHttpRequestException("The body says a length that cannot be.", error);
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
        HttpRequest request, ReadResult read, int limitBytes, BodyRoom room, CancellationToken cancellationToken)
    {
        using BodyRoom.Claim claim = room.Begin();
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, claim.Ended);
        PipeReader reader = request.BodyReader;
        int most = (int)(request.ContentLength ?? limitBytes);
        byte[] body = [];
        int filled = 0;
        try
        {
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

                read = await reader.ReadAsync(either.Token);
            }
        }
        catch (OperationCanceledException) when (claim.Ended.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new BadHttpRequestException(
                "The body did not come in time, and the node needs the memory that it takes for others; send it again.",
                StatusCodes.Status408RequestTimeout);
        }
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
    private const int Growth = 4;
}
